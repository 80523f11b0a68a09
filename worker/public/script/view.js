/**
 * The document: views, notices, controls, and the address. Text from outside is set only as textContent, and the page stores nothing in the
 * browser.
 */
import { ago, moment } from './words.js';

export const $ = (id) => document.getElementById(id);

/** The views that have a tab, with its address. */
const TABS = { 'signed-in': {}, webhooks: { webhooks: 'all' }, apps: { apps: 'all' } };

/** Shows one view, its tab (the page of a connect session has none) and its title. */
export function show(name) {
  if ($('tabs')) showTab(name);
  for (const view of document.querySelectorAll('main > section')) view.hidden = view.id !== `view-${name}`;
  const title = document.querySelector(`#view-${name} h1`)?.textContent;
  document.title = title ? `${title} · Connect` : 'Connect';
}

function showTab(name) {
  $('tabs').hidden = !(name in TABS);
  for (const [view, what] of Object.entries(TABS)) link($(`tab-${view}`), what).ariaCurrent = view === name ? 'page' : null;
}

/** Shows one part of a card. The first part is the one that is shown while it loads. */
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

/** Copies a template. Returns its root and its slots. */
export function stamp(id) {
  const root = $(id).content.firstElementChild.cloneNode(true);
  const slots = Object.fromEntries([...root.querySelectorAll('[data-slot]')].map((slot) => [slot.dataset.slot, slot]));
  return { root, slots };
}

/** Fills a <time>. `words` turns the timestamp into words; `otherwise` is shown if there is none. */
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

/** Shows a notice in a live region, which announces it. */
export function notify(kind, text, { region = $(kind === 'error' ? 'alert' : 'status'), requestId, retry } = {}) {
  const words = element('div', 'notice-text', element('p', '', text));
  if (requestId) words.append(element('p', 'fine', `Request ID: ${requestId}`));
  const notice = element('div', `notice ${kind}`, words);
  if (retry) notice.append(actionButton('', 'Try again', retry));
  region.replaceChildren(notice);
  notice.scrollIntoView({ block: 'nearest' });
}

// Controls

/** Runs `work`; the control ignores clicks until it is done. aria-disabled, unlike disabled, keeps the focus. */
export async function whileBusy(control, label, work) {
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

/** Shows or clears a field's error, in the element `<field>-error`. */
export function mark(field, text = '') {
  $(`${field.id}-error`).textContent = text;
  if (text) field.ariaInvalid = 'true';
  else field.removeAttribute('aria-invalid');
}

/** Opens a dialog. When it closes, the focus returns to the opener, or to the title if the opener is gone. */
export function openDialog(dialog, opener, onclose) {
  dialog.onclose = () => {
    onclose?.();
    if (opener?.isConnected && opener.checkVisibility()) opener.focus();
    else focusTitle();
  };
  dialog.showModal();
}

// The address says what is shown. `organization` stays in it; `connected` and `choose` are removed after use.

const query = () => new URLSearchParams(location.search);
const path = (parameters) => (parameters.size ? `/?${parameters}` : '/');

export const parameter = (name) => query().get(name);

export function setParameter(name, value) {
  const parameters = query();
  if (value) parameters.set(name, value);
  else parameters.delete(name);
  history.replaceState(null, '', path(parameters));
}

/** An address within the selected organization. */
export function addressOf(what = {}) {
  const organization = parameter('organization');
  return path(new URLSearchParams({ ...(organization && { organization }), ...what }));
}

let visit = 0;
let openAddress = () => {};

/** Sets the function that shows the view of the address. */
export function onMove(open) {
  openAddress = open;
  addEventListener('popstate', () => render());
}

/** Returns a function that says whether the user is still on the current view. A response that comes too late is dropped. */
export function viewGuard() {
  const here = visit;
  return () => here === visit;
}

/** Leaves the current view; closes its notices and dialogs. */
export function closeView() {
  visit += 1;
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  clearNotices();
}

/** Shows the view of the address. */
export function render() {
  closeView();
  return openAddress();
}

/** Goes to an address and focuses its title. With `replace`, the browser's back button skips the current view. */
export async function go(address, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', address);
  scrollTo(0, 0);
  await render();
  focusTitle();
}

/** Makes a link that changes the view without loading the page. */
export function link(anchor, what) {
  anchor.href = addressOf(what);
  anchor.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(anchor.href);
  };
  return anchor;
}
