/** A dialog that asks before something is done that cannot be taken back. */
import { fail } from './session.js';
import { $, actionButton, clear, once, openDialog, staying } from './view.js';

/** What the dialog asks about now. Escape closes it while a request still runs, and it may be open for something else by then. */
let asked = null;

/**
 * Asks with `title` and `text`; the button says `label`, and `busy` while `work` runs. `work` answers what follows once the dialog is gone;
 * what it throws is told in the dialog.
 */
export function confirm({ title, text, label, busy, kind = 'danger', work }, opener) {
  const question = {};
  asked = question;
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  clear($('confirm-error'));
  // Another button each time: an earlier one may still be busy.
  const button = actionButton(kind, label, () => once(button, busy, () => settle(question, work)));
  button.id = 'confirm-button';
  $('confirm-button').replaceWith(button);
  openDialog($('confirm'), opener);
}

async function settle(question, work) {
  const here = staying();
  const isAsked = () => $('confirm').open && asked === question;
  clear($('confirm-error'));
  try {
    const follow = await work();
    if (isAsked()) $('confirm').close();
    if (here()) await follow();
  } catch (failure) {
    if (isAsked()) fail(failure, undefined, $('confirm-error'));
    else if (here()) fail(failure);
  }
}
