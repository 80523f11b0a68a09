/** Where a webhook goes, and what it is told: asked for in a dialog, for a new one and for one that stands. */
import { renewSubmit, settle } from './dialog.js';
import { fail } from './session.js';
import { $, clear, element, mark, once, openDialog } from './view.js';
import { EVENTS } from './webhook-words.js';

/** What the dialog is open for. */
let asked = null;

/** `send({ url, events })` answers what follows once the dialog is gone. */
export function askWebhook({ title, label, busy, url = '', events = null, send }, opener) {
  asked = { busy, send };
  $('webhook-dialog-title').textContent = title;
  $('webhook-url').value = url;
  $('webhook-kinds').replaceChildren(...Object.entries(EVENTS).map(([type, name]) => {
    const box = Object.assign(element('input'), { type: 'checkbox', name: 'event', value: type, checked: events?.includes(type) ?? false });
    return element('label', 'check', box, name);
  }));
  $(events ? 'webhook-some' : 'webhook-all').checked = true;
  clear($('webhook-error'), $('webhook-kinds-error'));
  mark($('webhook-url'));
  showKinds();
  renewSubmit('webhook-submit', label);
  openDialog($('webhook-dialog'), opener, () => { asked = null; });
}

export const showKinds = () => { $('webhook-kinds').hidden = $('webhook-all').checked; };

export function submitWebhook(event) {
  event.preventDefault();
  const url = $('webhook-url').value.trim();
  const boxes = [...$('webhook-kinds').querySelectorAll('input')];
  const events = $('webhook-all').checked ? null : boxes.filter(({ checked }) => checked).map(({ value }) => value);
  clear($('webhook-error'));
  mark($('webhook-url'), url ? '' : 'An address is needed.');
  $('webhook-kinds-error').textContent = events?.length === 0 ? 'Choose one at least.' : '';
  if (!url) return $('webhook-url').focus();
  if (events?.length === 0) return boxes[0].focus();
  const question = asked;
  const isAsked = () => asked === question;
  const send = () => question.send({ url, events });
  return once($('webhook-submit'), question.busy, () => settle($('webhook-dialog'), isAsked, send, refuse));
}

function refuse(failure) {
  if (failure.code !== 'bad_url') return fail(failure, undefined, $('webhook-error'));
  mark($('webhook-url'), failure.message);
  $('webhook-url').focus();
}
