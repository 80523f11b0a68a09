/** One webhook: whether it is told, what was delivered to it, its secret, and what can be done about it. */
import { confirm } from './confirm.js';
import { paged } from './pages.js';
import { api, resource } from './requests.js';
import { showSecret } from './secret.js';
import { fail, showFailed, showOrganizations } from './session.js';
import { $, actionButton, addressOf, clearNotices, element, fillTime, go, link, notify, once, show, staying } from './view.js';
import { askWebhook } from './webhook-form.js';
import { deliveryText, ENDINGS, eventNames, leastName } from './webhook-words.js';
import { badge, loadWebhooks } from './webhooks.js';
import { moment } from './words.js';

/** What is shown. */
let webhook = null;

export async function openWebhook(id) {
  show('loading');
  const here = staying();
  try {
    const found = (await loadWebhooks()).find((one) => one.id === id);
    if (!here()) return;
    if (!found) {
      await go(addressOf({ webhooks: 'all' }), { replace: true });
      return notify('warning', 'That webhook is not there any more.');
    }
    render(found);
    resetDeliveries();
    showOrganizations(false);
    show('webhook');
    // Not waited for: the focus goes to the title once this is done.
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
    ? `The secret before the present one signs too until ${moment(until)}.`
    : 'Your server verifies with it what it gets. It was shown when it was made.';
}

/** Until when the secret before the present one is good, if it still is. */
const overlap = () => (Date.parse(webhook.previous_secret_ends_at) > Date.now() ? webhook.previous_secret_ends_at : null);

// Settings

const path = (...rest) => resource('webhooks', webhook.id, ...rest);

const change = (button, enabled) => once(button, enabled ? 'Enabling…' : 'Disabling…', async () => {
  const here = staying();
  clearNotices();
  try {
    const found = await api('PATCH', path(), { enabled });
    if (!here()) return;
    render(found);
    // This button goes, and the focus must not go with it.
    $(enabled ? 'webhook-disable' : 'webhook-enable').focus();
    notify('success', enabled ? 'The webhook is enabled. What still waits is sent with the next run.' : 'The webhook is disabled. It will not hear of what happens until it is enabled.');
  } catch (failure) {
    if (here()) fail(failure, () => change(button, enabled));
  }
});

export const enableWebhook = () => change($('webhook-enable'), true);
export const disableWebhook = () => change($('webhook-disable'), false);

export const changeWebhook = () => askWebhook({
  title: 'Change the webhook',
  label: 'Save',
  busy: 'Saving…',
  ...webhook,
  async send(changes) {
    const found = await api('PATCH', path(), changes);
    return () => {
      clearNotices();
      render(found);
      notify('success', 'The webhook is changed.');
    };
  },
}, $('webhook-change'));

export const renewSecret = () => confirm({
  title: 'Make a new secret?',
  text: `For 24 hours what is sent is signed with both, so that your server can change over. ${overlap()
    ? 'But the secret before the present one, which still signs, ends at once.'
    : 'Another new one within that time ends the present one at once.'}`,
  label: 'Make a new secret',
  busy: 'Making it…',
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
  text: `${webhook.url} is told nothing any more. Its deliveries and its secret are deleted, also what still waits to be sent.`,
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
      return end('warning', 'The webhook was deleted already.');
    }
    return end('success', 'The webhook is deleted.');
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

export const reloadDeliveries = () => once($('deliveries-reload'), 'Loading…', () => openDeliveries(webhook.id));

function renderDelivery(delivery) {
  const { event_id: event, type, integration_id: integration, occurred_at: occurred, attempts, state, last_error: fault } = delivery;
  const { what, how, why } = deliveryText(delivery);
  const time = element('time');
  fillTime(time, occurred);
  const about = element('p', 'fine', time, ' · ', element('span', 'request-id', event));
  if (type !== 'connection.deleted') about.append(' · ', link(element('a', '', 'integration'), { integration }));
  const item = element('li', fault ? 'bad' : '', element('p', 'event-what', what), element('p', 'event-why', [how, why].join(' ').trim()), about);
  if (state === 'pending' && !attempts) return item;
  const button = actionButton('small', 'Send again', () => replay(event, button));
  button.append(element('span', 'visually-hidden', ` ${what}, ${event}`));
  item.append(button);
  return item;
}

const replay = (event, button) => once(button, 'Sending…', async () => {
  const { id } = webhook;
  const here = staying();
  clearNotices();
  try {
    await api('POST', path('deliveries', event, 'replay'), {});
    if (!here()) return;
    await openDeliveries(id);
    if (!here()) return;
    // The button went with the list.
    $('deliveries-title').focus();
    notify('success', 'It is sent again with the next run, within a minute.');
  } catch (failure) {
    if (here()) fail(failure, () => replay(event, button));
  }
});
