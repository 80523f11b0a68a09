/** One webhook: its settings, its secret, its deliveries, and the actions on it. */
import { confirm } from './confirm.js';
import { paged } from './pages.js';
import { api, resource } from './requests.js';
import { showSecret } from './secret.js';
import { fail, showFailed, showOrganizations } from './session.js';
import { $, actionButton, addressOf, clearNotices, element, fillTime, go, link, notify, whileBusy, show, viewGuard } from './view.js';
import { askWebhook } from './webhook-form.js';
import { deliveryText, ENDINGS, eventNames, leastName } from './webhook-words.js';
import { badge, loadWebhooks } from './webhooks.js';
import { moment } from './words.js';

/** The webhook that is shown. */
let webhook = null;

export async function openWebhook(id) {
  show('loading');
  const here = viewGuard();
  try {
    const found = (await loadWebhooks()).find((one) => one.id === id);
    if (!here()) return;
    if (!found) {
      await go(addressOf({ webhooks: 'all' }), { replace: true });
      return notify('warning', 'That webhook no longer exists.');
    }
    render(found);
    resetDeliveries();
    showOrganizations(false);
    show('webhook');
    // Not awaited: the focus moves to the title when this function ends.
    openDeliveries(id);
  } catch (failure) {
    if (here()) showFailed(failure, () => openWebhook(id));
  }
}

function render(found) {
  webhook = found;
  const { url, events, min_severity: least, enabled, disabled_reason: reason, created_at: created } = found;
  link($('webhook-back'), { webhooks: 'all' });
  $('webhook-title').textContent = url;
  badge($('webhook-badge'), found);
  fillTime($('webhook-created'), created);
  $('webhook-ending').textContent = reason ? ENDINGS[reason] ?? reason : '';
  $('webhook-ending').hidden = !reason;
  $('webhook-events').textContent = eventNames(events);
  $('webhook-severity').textContent = leastName(least);
  $('webhook-severity').parentElement.hidden = !least;
  $('webhook-enable').hidden = enabled;
  $('webhook-disable').hidden = !enabled;
  const until = overlap();
  $('webhook-secret-text').textContent = until
    ? `The previous secret also signs until ${moment(until)}.`
    : 'Your server verifies events with it. It was shown once, when it was created.';
}

/** When the previous secret expires, if it still signs. */
const overlap = () => (Date.parse(webhook.previous_secret_ends_at) > Date.now() ? webhook.previous_secret_ends_at : null);

// Settings

const path = (...rest) => resource('webhooks', webhook.id, ...rest);

const change = (button, enabled) => whileBusy(button, enabled ? 'Enabling…' : 'Disabling…', async () => {
  const here = viewGuard();
  clearNotices();
  try {
    const found = await api('PATCH', path(), { enabled });
    if (!here()) return;
    render(found);
    // This button is hidden now, which would lose the focus.
    $(enabled ? 'webhook-disable' : 'webhook-enable').focus();
    notify('success', enabled ? 'The webhook is enabled. Waiting events are sent within a minute.' : 'The webhook is disabled. Events that happen now are not sent, even after it is enabled.');
  } catch (failure) {
    if (here()) fail(failure, () => change(button, enabled));
  }
});

export const enableWebhook = () => change($('webhook-enable'), true);
export const disableWebhook = () => change($('webhook-disable'), false);

export const changeWebhook = () => askWebhook({
  title: 'Edit the webhook',
  label: 'Save',
  busy: 'Saving…',
  ...webhook,
  async send(changes) {
    const found = await api('PATCH', path(), changes);
    return () => {
      clearNotices();
      render(found);
      notify('success', 'The webhook was saved.');
    };
  },
}, $('webhook-change'));

export const renewSecret = () => confirm({
  title: 'Create a new secret?',
  text: `For 24 hours, events are signed with both secrets, so that your server can switch. ${overlap()
    ? 'But the previous secret, which still signs, expires at once.'
    : 'If you create another one within that time, the current secret expires at once.'}`,
  label: 'Create secret',
  busy: 'Creating…',
  kind: 'primary',
  async work() {
    const { secret, ...found } = await api('POST', path('secret'), {});
    return () => {
      render(found);
      showSecret({ ...found, secret }, $('webhook-secret'));
    };
  },
}, $('webhook-secret'));

export const deleteWebhook = () => confirm({
  title: 'Delete the webhook?',
  text: `${webhook.url} receives no more events. Its secret, its deliveries and its waiting events are deleted.`,
  label: 'Delete',
  busy: 'Deleting…',
  async work() {
    const end = (kind, text) => async () => {
      await go(addressOf({ webhooks: 'all' }), { replace: true });
      notify(kind, text);
    };
    try {
      await api('DELETE', path());
    } catch (failure) {
      if (failure.status !== 404) throw failure;
      return end('warning', 'The webhook was already deleted.');
    }
    return end('success', 'The webhook was deleted.');
  },
}, $('webhook-delete'));

// Deliveries

const { reset: resetDeliveries, open: openDeliveries, more: loadMoreDeliveries } = paged({
  name: 'deliveries',
  title: 'deliveries-title',
  path: (id) => resource('webhooks', id, 'deliveries'),
  key: 'deliveries',
  render: renderDelivery,
});
export { loadMoreDeliveries };

export const reloadDeliveries = () => whileBusy($('deliveries-reload'), 'Loading…', () => openDeliveries(webhook.id));

function renderDelivery(delivery) {
  const { event_id: event, type, integration_id: integration, occurred_at: occurred, attempts, state, last_error: fault } = delivery;
  const { what, how, why } = deliveryText(delivery);
  const time = element('time');
  fillTime(time, occurred);
  const about = element('p', 'fine', time, ' · ', element('span', 'request-id', event));
  if (type !== 'connection.deleted') about.append(' · ', link(element('a', '', 'integration'), { integration }));
  const item = element('li', fault ? 'bad' : '', element('p', 'event-what', what), element('p', 'event-why', [how, why].join(' ').trim()), about);
  if (state === 'pending' && !attempts) return item;
  const button = actionButton('small for-admins', 'Send again', () => replay(event, button));
  button.append(element('span', 'visually-hidden', ` ${what}, ${event}`));
  item.append(button);
  return item;
}

const replay = (event, button) => whileBusy(button, 'Sending…', async () => {
  const { id } = webhook;
  const here = viewGuard();
  clearNotices();
  try {
    await api('POST', path('deliveries', event, 'replay'), {});
    if (!here()) return;
    await openDeliveries(id);
    if (!here()) return;
    // The button was removed with the list.
    $('deliveries-title').focus();
    notify('success', 'The event is sent again within a minute.');
  } catch (failure) {
    if (here()) fail(failure, () => replay(event, button));
  }
});
