/** An integration's findings, most severe first, each with its remediation, its history and its mutes. */
import { confirm } from './confirm.js';
import { askMute } from './mute-form.js';
import { paged } from './pages.js';
import { api, resource } from './requests.js';
import { changeText, ENDED, gapText, MUTE_REASONS, severityName } from './security-words.js';
import { fail } from './session.js';
import { $, actionButton, element, fillTime, notify, whileBusy, viewGuard } from './view.js';
import { inTime } from './words.js';

/** The list's parameters by the chosen state. */
const CHOICES = {
  open: { muted: 'false' },
  muted: { muted: 'true' },
  resolved: { state: 'resolved' },
  archived: { state: 'archived' },
};

let shown = null;
/** Whether a scan has judged it. */
let scanned = false;
let changed = () => {};

const { reset, open, more: loadMoreFindings } = paged({
  name: 'findings',
  title: 'findings-title',
  path: (id) => `/api/findings?${new URLSearchParams({ integration_id: id, ...CHOICES[$('findings-state').value], ...severity() })}`,
  key: 'findings',
  render: renderFinding,
});
export { loadMoreFindings };

const severity = () => ($('findings-severity').value ? { severity: $('findings-severity').value } : {});

/** Shows an integration's findings. `isScanned`: a scan has judged it. `onchange` is called after a mute was created or ended. */
export function openFindings(id, isScanned, onchange) {
  [shown, scanned, changed] = [id, isScanned, onchange];
  return filterFindings();
}

export function filterFindings() {
  reset();
  const some = `${$('findings-state').value} findings${$('findings-severity').value ? ' of this severity' : ''}`;
  // Before the first scan an empty list is no good news.
  $('findings-empty').textContent = scanned ? `There are no ${some}.` : 'No scan has looked yet, so nothing is known.';
  return open(shown);
}

function renderFinding(finding) {
  const { id, title, check_id: check, severity: how, resource: about, item, opened_at: since } = finding;
  const time = element('time');
  fillTime(time, since);
  const where = [about.name ?? about.id, item].filter(Boolean).join(' · ');
  const what = element('span', 'finding-what', element('span', 'soft', 'Fails: '), title ?? check);
  const text = element('span', 'finding-text', what, element('span', 'fine', `${where} · found `, time));
  const summary = element('summary', '', element('span', `severity ${how}`, severityName(how)), text);
  const state = stateOf(finding);
  if (state) text.append(element('span', 'finding-state', state));
  const body = element('div', 'finding-more', element('p', 'soft', 'Loading…'));
  const more = element('details', 'finding', summary, body);
  more.addEventListener('toggle', () => more.open && load(id, body));
  return element('li', '', more);
}

function stateOf({ ended_as: ended, muted_until: muted, unverified_since: unverified, unverified_reason: reason }) {
  if (ended) return ENDED[ended] ?? ended;
  const parts = [];
  if (muted) parts.push(`Muted; ends ${inTime(muted)}.`);
  if (unverified) parts.push(`It could not be checked since. ${gapText(reason)}`);
  return parts.join(' ');
}

async function load(id, body) {
  const here = viewGuard();
  try {
    const [finding, { events }] = await Promise.all([api('GET', resource('findings', id)), api('GET', resource('findings', id, 'events'))]);
    if (here()) body.replaceChildren(...renderMore(finding), ...renderHistory(events));
  } catch (failure) {
    if (here()) fail(failure, () => load(id, body));
  }
}

function renderMore(finding) {
  const { why, remediation, evidence, state, mutes } = finding;
  const parts = [];
  if (why) parts.push(element('p', '', why));
  if (remediation) {
    parts.push(element('h3', '', 'Put it right'), element('p', '', remediation.text, ...outward(remediation.url)));
  }
  const seen = Object.entries(evidence ?? {});
  if (seen.length > 0) {
    const facts = seen.map(([pointer, value]) => element('div', '', element('dt', '', pointer), element('dd', '', String(value))));
    parts.push(element('h3', '', 'What was seen'), element('dl', 'evidence', ...facts));
  }
  for (const mute of mutes) parts.push(renderMute(mute));
  if (state === 'open' && mutes.length === 0) {
    const button = actionButton('small for-admins', 'Mute…', () => askMute(finding, button, changed));
    button.append(element('span', 'visually-hidden', ` ${finding.title ?? finding.check_id}`));
    parts.push(element('div', 'actions start', button));
  }
  return parts;
}

/** A link to the provider's documentation, in a new tab; nothing if there is none. */
export function outward(url) {
  // The catalogue's build checks these URLs. Checked again here, because a `javascript:` URL would run.
  if (!url?.startsWith('https://')) return [];
  return [' ', Object.assign(element('a', '', 'Read more'), { href: url, target: '_blank', rel: 'noopener noreferrer' })];
}

/** An active mute, with a button that ends it. */
export function renderMute(mute) {
  const { id, reason, note, expires_at: until, matches, resource_id: about, integration_id: integration } = mute;
  const check = mute.title ?? mute.check_id;
  const time = element('time');
  fillTime(time, until, { words: inTime });
  const scope = about ? 'for this resource' : integration ? 'for this integration' : 'for the organization';
  const text = element('div', 'row-text',
    element('p', '', `${MUTE_REASONS[reason] ?? reason}: ${note}`),
    element('p', 'fine', `Mutes “${check}” ${scope}; ends `, time, matches === false ? '. It no longer matches any finding.' : ''));
  const button = actionButton('small for-admins', 'End the mute', () => askEnd(id, button));
  button.append(element('span', 'visually-hidden', ` of ${check}`));
  return element('div', 'mute', text, button);
}

const askEnd = (id, opener) => confirm({
  title: 'End the mute?',
  text: 'Its findings are shown as open again, and webhooks receive an event.',
  label: 'End the mute',
  busy: 'Ending it…',
  kind: 'primary',
  async work() {
    await api('DELETE', resource('mutes', id));
    return async () => {
      await changed();
      notify('success', 'The mute has ended.');
    };
  },
}, opener);

function renderHistory(events) {
  const items = events.map((event) => {
    const { what, why } = changeText(event);
    const time = element('time');
    fillTime(time, event.occurred_at);
    const item = element('li', '', element('p', 'event-what', what));
    if (why) item.append(element('p', 'event-why', why));
    item.append(element('p', 'fine', time));
    return item;
  });
  return [element('h3', '', 'History'), element('ol', 'trail', ...items)];
}

export const reloadFindings = () => whileBusy($('findings-reload'), 'Loading…', async () => {
  reset();
  await open(shown);
});
