/** The request that is sent from a dialog. Escape closes it while one still runs, and it may be open for something else by then. */
import { fail } from './session.js';
import { $, element, staying } from './view.js';

/** Puts another button in the place of `#<id>`, which may still be busy with an earlier request. */
export const renewSubmit = (id, label) =>
  $(id).replaceWith(Object.assign(element('button', 'button primary', label), { id, type: 'submit' }));

/**
 * Runs `work`, which answers what follows once the dialog is gone. `isAsked` says whether the dialog is still open for it; `refuse` tells in the
 * dialog what `work` throws.
 */
export async function settle(dialog, isAsked, work, refuse) {
  const here = staying();
  try {
    const follow = await work();
    if (isAsked()) dialog.close();
    if (here()) await follow();
  } catch (failure) {
    if (isAsked()) refuse(failure);
    else if (here()) fail(failure);
  }
}
