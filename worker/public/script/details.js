/** One integration: its health, its name, its schedule, its events, and the actions on it. */
import { askDisconnect, disconnection, reconnect, reconnectLabel } from './actions.js';
import { announceNew } from './connect.js';
import { api, resource } from './requests.js';
import { fail, provider, providerName, showFailed, showOrganizations } from './session.js';
import { $, addressOf, clearNotices, fillTime, go, link, mark, notify, whileBusy, show, viewGuard } from './view.js';
import { showLastRun } from './security.js';
import { chosenSchedule, refuseSchedule, showSchedule } from './schedule.js';
import { openTrail, resetTrail } from './trail.js';
import { inTime, statusName, statusText } from './words.js';

/** Statuses that only a reconnection can end. */
const ENDED = ['reconnect_required', 'revoked'];

/** The integration that is shown. */
let integration = null;

export async function openDetails(id) {
  show('loading');
  const here = viewGuard();
  try {
    const found = await api('GET', resource('integrations', id));
    if (!here()) return;
    render(found);
    $('rename-name').value = found.name;
    mark($('rename-name'));
    showSchedule(found);
    resetTrail();
    showOrganizations(false);
    show('details');
    announceNew((connected) => connected === id && found.name);
    // Not awaited: the focus moves to the title when this function ends, and the user may be typing by the time the events have loaded.
    openTrail(id);
    showLastRun(found);
  } catch (failure) {
    if (!here()) return;
    if (![400, 404].includes(failure.status)) return showFailed(failure, () => openDetails(id));
    await go(addressOf(), { replace: true });
    notify('warning', 'That integration no longer exists.');
  }
}

function render(found) {
  integration = found;
  const { name, integration_type: type, status, created_at: created } = found;
  link($('details-back'));
  $('details-title').textContent = name;
  $('details-type').textContent = providerName(type);
  fillTime($('details-created'), created);
  $('details-badge').textContent = statusName(status);
  $('details-badge').classList.toggle('active', status === 'active');
  const ended = ENDED.includes(status);
  $('details-health').classList.toggle('trouble', status !== 'active');
  $('details-reason').textContent = statusText(found);
  fillTime($('details-expires'), found.token_expires_at, { words: inTime, otherwise: 'Unknown' });
  fillTime($('details-checked'), found.last_checked_at, { otherwise: 'Not yet' });
  fillTime($('details-next'), found.next_check_at, { words: inTime, otherwise: 'None scheduled' });
  // An API key or a password cannot be refreshed.
  $('refresh').hidden = ended || ['api_key', 'basic'].includes(provider(type)?.auth);
  $('reconnect').textContent = reconnectLabel(type);
  $('reconnect').classList.toggle('primary', ended);
  $('disconnect-lead').textContent = disconnection(type);
}

/** Runs an action on the integration and shows the result. `work` returns the notice `[kind, text]`, or nothing. */
function act(button, label, work) {
  return whileBusy(button, label, async () => {
    const { id } = integration;
    const here = viewGuard();
    clearNotices();
    try {
      const notice = await work(resource('integrations', id));
      if (!notice) return;
      const found = await api('GET', resource('integrations', id));
      if (!here()) return;
      render(found);
      notify(...notice);
      await openTrail(id);
    } catch (failure) {
      if (!here()) return;
      if (failure.code === 'provider_paused') return notify('warning', failure.message);
      fail(failure, () => button.click());
    }
  });
}

export const checkNow = () => act($('check'), 'Checking…', async (path) => {
  const found = await api('POST', `${path}/check`, {});
  return found.status === 'active' ? ['success', 'Checked: the access works.'] : ['warning', `Checked. ${statusText(found)}`];
});

export const refreshNow = () => act($('refresh'), 'Refreshing…', async (path) => {
  const { refreshed, status } = await api('POST', `${path}/refresh`, {});
  if (refreshed) return ['success', 'The access was refreshed.'];
  return status === 'active'
    ? ['success', 'The access did not need a refresh.']
    : ['warning', 'The provider did not refresh the access. Reconnect the integration.'];
});

export function rename(event) {
  event.preventDefault();
  const field = $('rename-name');
  const name = field.value.trim();
  mark(field, name ? '' : 'Enter a name.');
  if (!name) return field.focus();
  return act($('rename-submit'), 'Saving…', async (path) => {
    try {
      field.value = (await api('PATCH', path, { name })).name;
    } catch (failure) {
      if (![400, 409].includes(failure.status)) throw failure;
      mark(field, failure.message);
      field.focus();
      return null;
    }
    return ['success', `The name is now ${field.value}.`];
  });
}

export function reschedule(event) {
  event.preventDefault();
  mark($('schedule-expression'));
  return act($('schedule-submit'), 'Saving…', async (path) => {
    try {
      const found = await api('PATCH', path, { scan_schedule: chosenSchedule() });
      showSchedule(found);
      return ['success', found.scan_schedule ? 'Automatic checks are on.' : 'Automatic checks are off.'];
    } catch (failure) {
      if (failure.code !== 'bad_schedule') throw failure;
      refuseSchedule(failure);
      return null;
    }
  });
}

export const reconnectShown = () => reconnect(integration, $('reconnect'), { integration: integration.id });

export const disconnectShown = () => askDisconnect(integration, $('details-disconnect'), async ({ kind, text }) => {
  resetTrail();
  await go(addressOf(), { replace: true });
  notify(kind, text);
});
