/**
 * The page of a connect session. A backend sent the browser here to connect an account for one of its users, who need not be known here. The
 * link's token is in the fragment, which no server sees. It works once; from then on a cookie binds the session to this browser.
 */
import { inputsIn, markFailure, readFields, renderField } from './fields.js';
import { resource, send } from './requests.js';
import { $, actionButton, clear, clearNotices, element, notify, parameter, show, whileBusy } from './view.js';

/** Nothing in it is secret, and nothing is kept when the page closes. */
let session = null;

/** These end the session, or never were one: there is nothing to try again. */
const ENDINGS = ['not_found', 'link_used', 'link_expired', 'connect_session_over', 'flow_foreign', 'invalid_request'];

const nameOf = (type) => session.providers.find(({ integration_type: offered }) => offered === type)?.name ?? type;
const request = (step, body = {}) => send('POST', resource('connect', session.id, step), body);

async function load() {
  if (location.hash.length > 1) {
    const token = location.hash.slice(1);
    history.replaceState(null, '', '/connect');
    return open(token);
  }
  const id = parameter('session');
  if (!id) return showOver('Open the link again from the application that sent you here.');
  return attempt(async () => { session = await send('GET', resource('connect', id)); }, load);
}

const open = (token) => attempt(async () => {
  session = await send('POST', '/api/connect', { token });
  history.replaceState(null, '', `/connect?session=${encodeURIComponent(session.id)}`);
}, () => open(token));

/** Gets the session, then shows it. */
async function attempt(get, retry) {
  show('loading');
  clearNotices();
  try {
    if (!session) await get();
    render();
  } catch (failure) {
    if (ENDINGS.includes(failure.code)) return showOver(failure.message);
    notify('error', failure.message, { requestId: failure.requestId, retry });
  }
  return undefined;
}

function render() {
  if (session.choice) return renderChoice(session.choice);
  if (!session.is_open) return showOver('This connection has ended. Go back to the application that sent you here.');
  const host = new URL(session.return_origin).host;
  $('session-lead').textContent = session.reconnects
    ? `${host} asks you to authorize the connected account again.`
    : `${host} asks you to connect an account. It will be able to use what you authorize.`;
  $('session-application').textContent = host;
  $('session-user').textContent = session.external_user;
  const { providers: offered } = session;
  $('session-providers').replaceChildren(...offered.map((provider) =>
    actionButton('primary wide', `Continue with ${provider.name}`, (button) => choose(provider, button))));
  if (!offered.length) return showOver('None of the providers that the application asked for is available here.');
  return show('session');
}

function choose(provider, button) {
  if (provider.auth !== 'oauth') return renderCredentials(provider);
  return whileBusy(button, `Opening ${provider.name}…`, () =>
    trying(async () => location.assign((await request('authorize', { integration_type: provider.integration_type })).authorization_url)));
}

function renderCredentials({ integration_type: type, name, fields }) {
  $('credentials-title').textContent = `Connect ${name}`;
  $('credentials-lead').textContent = `${name} checks the credentials before they are stored. They are encrypted, and never shown again.`;
  $('credentials-fields').replaceChildren(...fields.map(renderField));
  $('credentials-form').onsubmit = (event) => {
    event.preventDefault();
    const inputs = inputsIn($('credentials-fields'));
    const given = readFields(inputs);
    if (!given) return undefined;
    return whileBusy($('credentials-submit'), `Checking with ${name}…`, () =>
      trying(async () => leave(await request('credentials', { integration_type: type, fields: given })), (failure) => markFailure(failure, inputs)));
  };
  show('credentials');
  inputsIn($('credentials-fields'))[0].focus();
}

/** The grant covers several accounts. */
function renderChoice({ integration_type: type, accounts }) {
  $('choose-lead').textContent = `${nameOf(type)} granted access to ${accounts.length} accounts.`;
  $('choose-options').replaceChildren(...accounts.map((account) => {
    const input = Object.assign(element('input'), { type: 'radio', name: 'account_id', required: true, value: account.id });
    const name = element('span', 'option-name', account.name);
    name.dir = 'auto';
    return element('label', 'option', input, element('span', 'option-text', name, ' ', element('span', 'option-id', account.id)));
  }));
  $('choose-form').onsubmit = (event) => {
    event.preventDefault();
    const account = new FormData($('choose-form')).get('account_id');
    return whileBusy($('choose-submit'), 'Connecting…', () => trying(async () => leave(await request('account', { account_id: account }))));
  };
  show('choose');
}

const cancel = (button) => whileBusy(button, 'Canceling…', () => trying(async () => leave(await request('cancel'))));

/** Goes back to the application. What was typed here is not left for the Back button. */
function leave({ return_to: url }) {
  clear($('credentials-fields'));
  location.replace(url);
}

/** Runs `work` and shows its failure; `claim` may show it elsewhere, and then returns true. */
async function trying(work, claim = () => false) {
  clearNotices();
  try {
    await work();
  } catch (failure) {
    if (ENDINGS.includes(failure.code)) return showOver(failure.message);
    if (!claim(failure)) notify('error', failure.message, { requestId: failure.requestId });
  }
  return undefined;
}

function showOver(text) {
  clearNotices();
  $('over-message').textContent = text;
  show('over');
}

for (const button of document.querySelectorAll('[data-cancel]')) button.addEventListener('click', () => cancel(button));
// Back from the provider's page: the browser may restore an old page whose button is still busy.
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
// Another link in the same tab changes only the fragment.
addEventListener('hashchange', () => location.reload());
load();
