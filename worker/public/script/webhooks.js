/** The organization's webhooks. */
import { api } from './requests.js';
import { showOrganizations, state, showLoadFailure } from './session.js';
import { showSecret } from './secret.js';
import { $, addressOf, element, go, link, notify, show, showPart, viewGuard } from './view.js';
import { askWebhook } from './webhook-form.js';
import { eventNames } from './webhook-words.js';

export const loadWebhooks = async () =>
  (await api('GET', `/api/webhooks?${new URLSearchParams({ organization_id: state.organization })}`)).webhooks;

export function openWebhooks() {
  showOrganizations(true);
  show('webhooks');
  return load();
}

const showRows = (part) => showPart('webhooks', ['webhooks-loading', 'webhooks-failed', 'webhooks-empty', 'webhook-rows'], part);

async function load() {
  const here = viewGuard();
  showRows('webhooks-loading');
  try {
    const webhooks = await loadWebhooks();
    if (!here()) return;
    $('webhook-rows').replaceChildren(...webhooks.map(renderRow));
    showRows(webhooks.length > 0 ? 'webhook-rows' : 'webhooks-empty');
  } catch (failure) {
    if (here() && showLoadFailure(failure, $('webhooks-failed'), load)) showRows('webhooks-failed');
  }
}

function renderRow(webhook) {
  const { id, url, events } = webhook;
  const address = link(element('a', 'row-link', url), { webhook: id });
  return element('li', 'row', element('div', 'row-text', address, element('p', 'fine', eventNames(events))), badge(element('span'), webhook));
}

/** Fills the badge that says whether a webhook is enabled. */
export function badge(made, { enabled }) {
  made.className = `badge ${enabled ? 'active' : ''}`;
  made.textContent = enabled ? 'Enabled' : 'Disabled';
  return made;
}

export const addWebhook = () => askWebhook({
  title: 'Add a webhook',
  label: 'Add',
  busy: 'Adding…',
  async send({ url, events, min_severity: least }) {
    const made = await api('POST', '/api/webhooks', { organization_id: state.organization, url, ...(events && { events }), ...(least && { min_severity: least }) });
    return async () => {
      await go(addressOf({ webhook: made.id }));
      if (!state.user) return;
      notify('success', 'The webhook was added. It receives events from now on.');
      showSecret(made);
    };
  },
}, $('webhook-add'));
