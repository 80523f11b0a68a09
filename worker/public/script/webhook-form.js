/** The dialog for a webhook's URL and events, for a new webhook or an existing one. */
import { renewSubmit, settle } from './dialog.js';
import { fail } from './session.js';
import { $, clear, element, mark, whileBusy, openDialog } from './view.js';
import { EVENTS, LEAST } from './webhook-words.js';

/** The question that the dialog shows. */
let asked = null;

/** `send({ url, events, min_severity })` returns what to do after the dialog has closed. */
export function askWebhook({ title, label, busy, url = '', events = null, min_severity: least = null, send }, opener) {
  asked = { busy, send };
  $('webhook-dialog-title').textContent = title;
  $('webhook-url').value = url;
  $('webhook-kinds').replaceChildren(...Object.entries(EVENTS).map(([type, name]) => {
    const box = Object.assign(element('input'), { type: 'checkbox', name: 'event', value: type, checked: events?.includes(type) ?? false });
    return element('label', 'check', box, name);
  }));
  $('webhook-least').replaceChildren(...Object.entries(LEAST).map(([severity, name]) => new Option(name, severity)));
  $('webhook-least').value = least === 'info' ? '' : least ?? '';
  $(events ? 'webhook-some' : 'webhook-all').checked = true;
  clear($('webhook-error'), $('webhook-kinds-error'));
  mark($('webhook-url'));
  showKinds();
  renewSubmit('webhook-submit', label);
  openDialog($('webhook-dialog'), opener, () => { asked = null; });
}

/** Shows the event types if some are chosen, and the severity if findings are among them. */
export function showKinds() {
  const all = $('webhook-all').checked;
  $('webhook-kinds').hidden = all;
  $('webhook-least-field').hidden = !all && !$('webhook-kinds').querySelector('[value^="finding."]:checked');
}

export function submitWebhook(event) {
  event.preventDefault();
  const url = $('webhook-url').value.trim();
  const boxes = [...$('webhook-kinds').querySelectorAll('input')];
  const events = $('webhook-all').checked ? null : boxes.filter(({ checked }) => checked).map(({ value }) => value);
  clear($('webhook-error'));
  mark($('webhook-url'), url ? '' : 'Enter an address.');
  $('webhook-kinds-error').textContent = events?.length === 0 ? 'Choose at least one.' : '';
  if (!url) return $('webhook-url').focus();
  if (events?.length === 0) return boxes[0].focus();
  const question = asked;
  const isAsked = () => asked === question;
  const least = $('webhook-least-field').hidden ? null : $('webhook-least').value || null;
  const send = () => question.send({ url, events, min_severity: least });
  return whileBusy($('webhook-submit'), question.busy, () => settle($('webhook-dialog'), isAsked, send, refuse));
}

function refuse(failure) {
  if (failure.code !== 'bad_url') return fail(failure, undefined, $('webhook-error'));
  mark($('webhook-url'), failure.message);
  $('webhook-url').focus();
}
