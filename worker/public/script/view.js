/**
 * The document: views, notices, controls, and the address. Text that came from outside is set by textContent alone, and nothing is kept
 * in the browser's storage.
 */
import { ago, moment } from './words.js';

export const $ = (id) => document.getElementById(id);

/** The views that have a tab, and where the tab leads. */
const TABS = { 'signed-in': {}, webhooks: { webhooks: 'all' } };

/** Shows one view, and what else of the page goes with it. */
export function show(name) {
  $('tabs').hidden = !(name in TABS);
  for (const [view, what] of Object.entries(TABS)) link($(`tab-${view}`), what).ariaCurrent = view === name ? 'page' : null;
  for (const view of document.querySelectorAll('main > section')) view.hidden = view.id !== `view-${name}`;
  const title = document.querySelector(`#view-${name} h1`)?.textContent;
  document.title = title ? `${title} · Connect` : 'Connect';
}

/** Shows one of a card's parts, the first of which says that it is loading. */
export function showPart(card, parts, part) {
  for (const id of parts) $(id).hidden = id !== part;
  $(card).ariaBusy = String(part === parts[0]);
}

export const focusTitle = () => document.querySelector('main > section:not([hidden]) h1')?.focus();

export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

export function actionButton(className, text, action) {
  const made = element('button', `button ${className}`, text);
  made.type = 'button';
  made.addEventListener('click', () => action(made));
  return made;
}

/** Copies a template and hands out its parts that are to be filled. */
export function stamp(id) {
  const root = $(id).content.firstElementChild.cloneNode(true);
  const slots = Object.fromEntries([...root.querySelectorAll('[data-slot]')].map((slot) => [slot.dataset.slot, slot]));
  return { root, slots };
}

/** Fills a <time>; `words` says the moment in words, `otherwise` is for none. */
export function fillTime(time, timestamp, { words = ago, otherwise = '' } = {}) {
  time.dateTime = timestamp ?? '';
  time.title = timestamp ? moment(timestamp) : '';
  time.textContent = timestamp ? words(timestamp) : otherwise;
}

// Notices

export function clear(...regions) {
  for (const region of regions) region.replaceChildren();
}

export const clearNotices = () => clear($('status'), $('alert'));

/** Puts a notice into a live region, which announces it. */
export function notify(kind, text, { region = $(kind === 'error' ? 'alert' : 'status'), requestId, retry } = {}) {
  const words = element('div', 'notice-text', element('p', '', text));
  if (requestId) words.append(element('p', 'fine', `Request id: ${requestId}`));
  const notice = element('div', `notice ${kind}`, words);
  if (retry) notice.append(actionButton('', 'Try again', retry));
  region.replaceChildren(notice);
  notice.scrollIntoView({ block: 'nearest' });
}

// Controls

/** Runs `work` once at a time; aria-disabled instead of disabled, so that the focus stays where it is. */
export async function once(control, label, work) {
  if (control.ariaDisabled === 'true') return;
  const content = [...control.childNodes];
  control.ariaDisabled = 'true';
  control.replaceChildren(label);
  try {
    await work();
  } finally {
    control.ariaDisabled = null;
    control.replaceChildren(...content);
  }
}

/** Says at a field what is wrong with it, or that nothing is. The field's error has the id `<field>-error`. */
export function mark(field, text = '') {
  $(`${field.id}-error`).textContent = text;
  if (text) field.ariaInvalid = 'true';
  else field.removeAttribute('aria-invalid');
}

/** Opens a dialog over the page; afterwards the focus goes back to where it was, or to the title where that is gone. */
export function openDialog(dialog, opener, onclose) {
  dialog.onclose = () => {
    onclose?.();
    if (opener?.isConnected && opener.checkVisibility()) opener.focus();
    else focusTitle();
  };
  dialog.showModal();
}

// The address says what is shown: `organization` stays, `connected` and `choose` go once they are dealt with.

const query = () => new URLSearchParams(location.search);
const path = (parameters) => (parameters.size ? `/?${parameters}` : '/');

export const parameter = (name) => query().get(name);

export function setParameter(name, value) {
  const parameters = query();
  if (value) parameters.set(name, value);
  else parameters.delete(name);
  history.replaceState(null, '', path(parameters));
}

/** The address of something of the organization that is shown. */
export function addressOf(what = {}) {
  const organization = parameter('organization');
  return path(new URLSearchParams({ ...(organization && { organization }), ...what }));
}

let visit = 0;
let openAddress = () => {};

/** Names what shows the address: at each move it runs anew. */
export function onMove(open) {
  openAddress = open;
  addEventListener('popstate', () => arrive());
}

/** Tells, later, whether the user is still at what is shown now: an answer that comes too late is dropped. */
export function staying() {
  const here = visit;
  return () => here === visit;
}

/** Leaves whatever is shown, with its notices and dialogs. */
export function depart() {
  visit += 1;
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  clearNotices();
}

/** Shows what the address says, anew. */
export function arrive() {
  depart();
  return openAddress();
}

/** Goes there and puts the focus on its title; with `replace`, the way back does not lead here again. */
export async function go(address, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', address);
  scrollTo(0, 0);
  await arrive();
  focusTitle();
}

/** A link within the page, which loads nothing anew. */
export function link(anchor, what) {
  anchor.href = addressOf(what);
  anchor.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(anchor.href);
  };
  return anchor;
}
