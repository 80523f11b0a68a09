/** The organization's integrations. */
import { askDisconnect, reconnect, reconnectLabel } from './actions.js';
import { loadApps } from './apps.js';
import { announceNew, renderProviders } from './connect.js';
import { api } from './requests.js';
import { fail, providerName, showOrganizations, state, showLoadFailure } from './session.js';
import { $, clear, fillTime, focusTitle, link, notify, whileBusy, show, showPart, stamp, viewGuard } from './view.js';
import { statusName } from './words.js';

/** The number of rows shown, and of all rows. */
let shown = 0;
let count = 0;

export function openList() {
  showOrganizations(true);
  state.apps = [];
  renderProviders();
  show('signed-in');
  offerApps();
  return loadList();
}

/** Offers the organization's own OAuth apps. Without them, the deployment's are still there. */
async function offerApps() {
  const here = viewGuard();
  const answer = await loadApps().catch(() => null);
  if (!here() || !answer?.oauth_apps.length) return;
  const nameOf = (type) => answer.types.find(({ integration_type: known }) => known === type)?.name ?? type;
  state.apps = answer.oauth_apps.map(({ id, name, integration_type: type }) =>
    ({ integration_type: type, auth: 'oauth', name: `${nameOf(type)} (${name})`, oauth_app_id: id }));
  renderProviders();
}

const showList = (part) => showPart('list', ['list-loading', 'list-failed', 'list-empty', 'integrations'], part);

async function loadList() {
  const here = viewGuard();
  shown = 0;
  $('list-more').hidden = true;
  showList('list-loading');
  try {
    await loadPage();
  } catch (failure) {
    if (here() && showLoadFailure(failure, $('list-failed'), loadList)) showList('list-failed');
  }
}

/** Loads the next page. A response that arrives after the user has moved on is dropped. */
async function loadPage() {
  const here = viewGuard();
  const offset = shown;
  const query = new URLSearchParams({ organization_id: state.organization, offset });
  const { integrations, count: all } = await api('GET', `/api/integrations?${query}`);
  if (!here() || offset !== shown) return;
  if (offset === 0) clear($('integration-rows'));
  $('integration-rows').append(...integrations.map(renderRow));
  renderCount(offset + integrations.length, all);
  announceNew((id) => {
    const row = findRow(id);
    row?.classList.add('is-new');
    return row?.cells[0].textContent;
  });
}

function renderCount(rows, all) {
  [shown, count] = [rows, all];
  $('list-count').textContent = `${shown} of ${count}`;
  $('list-more').hidden = shown >= count;
  showList(shown > 0 ? 'integrations' : 'list-empty');
}

export const loadMore = () => whileBusy($('list-more-button'), 'Loading…', () => loadPage().catch((failure) => fail(failure, loadMore)));

function renderRow(integration) {
  const { id, name, integration_type: type, status, created_at: created } = integration;
  const { root, slots } = stamp('integration-row');
  root.dataset.id = id;
  slots.name.textContent = name;
  link(slots.name, { integration: id });
  slots.type.textContent = providerName(type);
  slots.status.textContent = statusName(status);
  slots.status.classList.toggle('active', status === 'active');
  fillTime(slots.age, created);
  for (const action of ['reconnect', 'disconnect']) slots[`${action}-name`].textContent = ` ${name}`;
  slots['reconnect-label'].textContent = reconnectLabel(type);
  slots.reconnect.hidden = !['reconnect_required', 'revoked'].includes(status);
  slots.reconnect.addEventListener('click', () => reconnect(integration, slots.reconnect, {}));
  slots.disconnect.addEventListener('click', () => askDisconnect(integration, slots.disconnect, (outcome) => removeRow(id, outcome)));
  return root;
}

const findRow = (id) => $('integration-rows').querySelector(`[data-id="${CSS.escape(id)}"]`);

function removeRow(id, { kind, text }) {
  const row = findRow(id);
  const focused = row?.contains(document.activeElement);
  row?.remove();
  notify(kind, text);
  // No row: the user has switched to another list.
  if (row) renderCount(shown - 1, count - 1);
  if (focused || document.activeElement === document.body) focusTitle();
  if (shown === 0 && count > 0) loadList();
}
