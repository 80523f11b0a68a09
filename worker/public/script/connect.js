/** Connecting an account: the list of providers, the redirect to one, and the choice of an account after it. */
import { redirectToProvider, revocation } from './actions.js';
import { askCredentials } from './credentials.js';
import { api, resource } from './requests.js';
import { fail, providerName, showFailed, state, takesCredentials } from './session.js';
import {
  $, actionButton, addressOf, clearNotices, element, go, notify, whileBusy, openDialog, parameter, setParameter, show,
} from './view.js';

/** Up to this many providers have a button each. More are in a list with a search field. */
const BUTTONS = 4;
const ACCOUNT_NOUNS = { supabase: 'project' };

// Providers

/** What can be connected: with the deployment's apps or credentials, and with the organization's own apps. */
const choices = () => [...state.providers, ...state.apps];

export function renderProviders() {
  const providers = choices();
  const [only] = providers;
  const buttons = providers.length > BUTTONS
    ? [actionButton('primary', 'Connect an account', openChooser)]
    : providers.map((provider) => actionButton('primary', `Connect ${provider.name}`, (button) => connect(provider, button)));
  $('providers').replaceChildren(...buttons);
  $('no-providers').hidden = buttons.length > 0;
  const isOne = providers.length === 1;
  const choose = isOne ? `Choose “Connect ${only.name}”.` : 'Choose a provider above.';
  const mixed = providers.some(({ integration_type: type }) => takesCredentials(type));
  $('list-empty-hint').textContent = mixed
    ? `${choose} You sign in there, or enter credentials from there.`
    : `${choose} You decide ${isOne ? `at ${only.name}` : 'there'} what to authorize, and come back here.`;
  $('list-empty-hint').hidden = buttons.length === 0;
}

/** The button that opened the list. The focus returns to it. */
let chooserOpener = null;

function openChooser(opener) {
  chooserOpener = opener;
  $('chooser-search').value = '';
  renderChooser();
  openDialog($('chooser'), opener);
}

export function renderChooser() {
  const wanted = $('chooser-search').value.trim().toLowerCase();
  const begins = ({ name }) => name.toLowerCase().startsWith(wanted);
  const found = choices()
    .filter(({ name, integration_type: type }) => `${name} ${type}`.toLowerCase().includes(wanted))
    .sort((a, b) => begins(b) - begins(a));
  $('chooser-list').replaceChildren(...found.map((provider) => {
    const { name } = provider;
    const mark = element('span', 'provider-mark', name.charAt(0));
    mark.ariaHidden = 'true';
    const button = actionButton('provider', '', () => connect(provider, button, $('chooser-error')));
    button.append(mark, element('span', 'provider-name', name));
    if (takesCredentials(provider.integration_type)) button.append(element('span', 'provider-hint', provider.auth === 'api_key' ? 'API key' : 'Credentials'));
    return element('li', '', button);
  }));
  $('chooser-count').textContent = found.length === 1 ? '1 provider' : `${found.length || 'No'} providers`;
}

/** Enter in the search field: opens the only result, or focuses the first of several. */
export function chooseFound(event) {
  event.preventDefault();
  const buttons = $('chooser-list').querySelectorAll('button');
  buttons[0]?.focus();
  if (buttons.length === 1) buttons[0].click();
}

function connect(provider, button, region) {
  if (!takesCredentials(provider.integration_type)) return authorize(provider, button, region);
  if (!$('chooser').open) return askCredentials(provider, button);
  $('chooser').close();
  return askCredentials(provider, chooserOpener);
}

const authorize = (provider, button, region) => whileBusy(button, `Opening ${provider.name}…`, async () => {
  clearNotices();
  try {
    const { integration_type, oauth_app_id } = provider;
    const request = { integration_type, organization_id: state.organization, ...(oauth_app_id && { oauth_app_id }) };
    await redirectToProvider({}, (path) => api('POST', '/api/auth/authorize', { ...request, return_to: path }));
  } catch (failure) {
    fail(failure, () => authorize(provider, button, region), region);
  }
});

/** After the callback. Anyone can write `?connected=` into a link, so the notice appears only if `find` returns the name of a shown integration. */
export function announceNew(find) {
  const id = parameter('connected');
  if (!id) return;
  setParameter('connected', null);
  const name = find(id);
  if (name) notify('success', `${name} is connected.`);
}

// Choice: a grant that covers several accounts

export async function openChoice(id) {
  show('loading');
  try {
    renderChoice(id, await api('GET', resource('connections', id)));
    show('choose');
  } catch (failure) {
    if (failure.retryable || failure.status === 401) return showFailed(failure, () => openChoice(id));
    await go(addressOf(), { replace: true });
    fail(failure);
  }
}

function renderChoice(id, { integration_type: type, accounts, expires_at: expiry }) {
  const noun = ACCOUNT_NOUNS[type] ?? 'account';
  $('choose-title').textContent = `Choose a ${noun}`;
  $('choose-lead').textContent = `${providerName(type)} granted access to ${accounts.length} ${noun}s.`;
  $('choose-legend').textContent = `Which ${noun} should be connected?`;
  $('choose-options').replaceChildren(...accounts.map((account) => {
    const input = Object.assign(element('input'), { type: 'radio', name: 'account_id', required: true, value: account.id });
    const name = element('span', 'option-name', account.name);
    name.dir = 'auto';
    return element('label', 'option', input, element('span', 'option-text', name, ' ', element('span', 'option-id', account.id)));
  }));
  $('choose-expiry').textContent = `Choose before ${new Date(expiry).toLocaleTimeString('en', { timeStyle: 'short' })}; after that the grant is revoked.`;
  $('choose').onsubmit = (event) => choose(event, id);
  $('choose-cancel').onclick = () => cancelChoice(id, providerName(type));
}

function choose(event, id) {
  event.preventDefault();
  return whileBusy($('choose-submit'), 'Connecting…', async () => {
    clearNotices();
    try {
      const account = new FormData($('choose')).get('account_id');
      location.replace((await api('POST', resource('connections', id), { account_id: account })).return_to);
    } catch (failure) {
      failChoice(failure, () => $('choose').requestSubmit());
    }
  });
}

const cancelChoice = (id, provider) => whileBusy($('choose-cancel'), 'Canceling…', async () => {
  clearNotices();
  try {
    const { revoked } = await api('DELETE', resource('connections', id));
    await go(addressOf(), { replace: true });
    notify('warning', `Nothing was connected. ${revocation(revoked, provider)}`);
  } catch (failure) {
    failChoice(failure, () => cancelChoice(id, provider));
  }
});

async function failChoice(failure, retry) {
  if (failure.status === 404) await go(addressOf(), { replace: true });
  fail(failure, retry);
}
