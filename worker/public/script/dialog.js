/** The request of a dialog. The user may close the dialog, or open it for something else, while the request runs. */
import { fail } from './session.js';
import { $, element, viewGuard } from './view.js';

/** Replaces the button `#<id>`, which may still be busy with an earlier request. */
export const renewSubmit = (id, label) =>
  $(id).replaceWith(Object.assign(element('button', 'button primary', label), { id, type: 'submit' }));

/**
 * Runs `work`, which returns what to do after the dialog has closed. `isAsked` says whether the dialog still shows this question; `refuse`
 * shows the error that `work` throws in the dialog.
 */
export async function settle(dialog, isAsked, work, refuse) {
  const here = viewGuard();
  try {
    const follow = await work();
    if (isAsked()) dialog.close();
    if (here()) await follow();
  } catch (failure) {
    if (isAsked()) refuse(failure);
    else if (here()) fail(failure);
  }
}
