/** A dialog that asks before something is done that cannot be taken back. */
import { settle } from './dialog.js';
import { fail } from './session.js';
import { $, actionButton, clear, once, openDialog } from './view.js';

/** What the dialog asks about now. */
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
  const button = actionButton(kind, label, () => once(button, busy, () => send(question, work)));
  button.id = 'confirm-button';
  $('confirm-button').replaceWith(button);
  openDialog($('confirm'), opener);
}

function send(question, work) {
  const isAsked = () => $('confirm').open && asked === question;
  clear($('confirm-error'));
  return settle($('confirm'), isAsked, work, (failure) => fail(failure, undefined, $('confirm-error')));
}
