/** A dialog that asks for confirmation before an action that cannot be undone. */
import { settle } from './dialog.js';
import { fail } from './session.js';
import { $, actionButton, clear, whileBusy, openDialog } from './view.js';

/** The question that the dialog shows. */
let asked = null;

/**
 * The button is labelled `label`, and `busy` while `work` runs. `work` returns what to do after the dialog has closed; the dialog shows the
 * error that it throws.
 */
export function confirm({ title, text, label, busy, kind = 'danger', work }, opener) {
  const question = {};
  asked = question;
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  clear($('confirm-error'));
  // A new button each time: the earlier one may still be busy.
  const button = actionButton(kind, label, () => whileBusy(button, busy, () => send(question, work)));
  button.id = 'confirm-button';
  $('confirm-button').replaceWith(button);
  openDialog($('confirm'), opener);
}

function send(question, work) {
  const isAsked = () => $('confirm').open && asked === question;
  clear($('confirm-error'));
  return settle($('confirm'), isAsked, work, (failure) => fail(failure, undefined, $('confirm-error')));
}
