/**
 * The connect page. The session lives in HttpOnly cookies: no token reaches this script, and nothing is kept in the
 * browser's storage. Text that came from outside is set by textContent alone.
 */

const REQUEST_TIMEOUT = 30_000;
const MINUTE = 60_000;
/** How long the way through the provider may take; the session must last as long. */
const FLOW = 10 * MINUTE;

/** By the API's error codes, for the users of this page. A code that is not here shows the API's own sentence. */
const MESSAGES = {
  network: 'The server could not be reached. Check your connection.',
  timeout: 'The server took too long to answer.',
  unreadable: 'The server gave an answer that this page does not understand.',
  bad_credentials: 'The email or the password is not right.',
  too_many_sign_ins: 'Too many attempts to sign in. Wait a minute, then try again.',
  forbidden: 'The server refused this request. Open this page at its usual address and try again.',
  provider_unknown: 'This provider is not set up here any more. Reload the page.',
  not_a_member: 'You are not a member of this organization any more.',
  too_many_connections: 'Too many connections were started and not finished. Wait ten minutes, then try again.',
  provider_failed: 'The provider did not answer as it should. Nothing was stored.',
  upstream_unavailable: 'A service that this page depends on is not available at the moment.',
  upstream_timeout: 'A service that this page depends on took too long to answer.',
  upstream_failed: 'A service that this page depends on did not answer as it should.',
  save_failed: 'The integration could not be saved.',
  internal: 'Something went wrong on the server. Its operator finds it under the request id.',
};
const ACCOUNT_NOUNS = { supabase: 'project' };

/** What is shown. None of it is secret and none of it outlives the page. */
const state = { user: null, sessionEnds: 0, organizations: [], organization: null, providers: [], shown: 0, count: 0 };

const $ = (id) => document.getElementById(id);
/** The API's words, or a name out of the database, as a reader expects them. */
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const sentence = (text) => capitalized(text).replace(/[^.!?]$/, '$&.');

// Requests

/** A request that failed. A status of 0: no answer came. */
class Failure extends Error {
  constructor(code, { status = 0, message, requestId } = {}) {
    super(MESSAGES[code] ?? (message ? sentence(message) : MESSAGES.unreadable));
    Object.assign(this, { status, requestId, retryable: status === 0 || status >= 500 });
  }
}

async function send(method, path, body) {
  // The worker takes unsafe methods as JSON only: no form of another site can send that.
  const headers = method === 'GET' ? {} : { 'content-type': 'application/json' };
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT);
  try {
    const response = await fetch(path, { method, headers, body: JSON.stringify(body), cache: 'no-store', signal });
    return read(response, await response.text());
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(cause.name === 'TimeoutError' ? 'timeout' : 'network');
  }
}

function read({ ok, status, headers }, text) {
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* not JSON: told by the status below */ }
  if (ok && answer) return answer;
  const code = answer?.error?.code ?? (status >= 500 ? 'upstream_unavailable' : 'unreadable');
  throw new Failure(code, { status, message: answer?.error?.message, requestId: headers.get('x-request-id') });
}

let refreshing = null;

/** One refresh at a time: a refresh token that is used twice counts as stolen. */
function refresh() {
  refreshing ??= send('POST', '/api/session', { refresh: true })
    .catch((failure) => { throw [400, 403].includes(failure.status) ? new Failure('unauthorized', { status: 401 }) : failure; })
    .finally(() => { refreshing = null; });
  return refreshing;
}

/** Sends as the signed-in user; a session that ran out is refreshed once. */
async function api(...request) {
  try {
    return await send(...request);
  } catch (failure) {
    if (failure.status !== 401) throw failure;
    await refresh();
    return send(...request);
  }
}

const resource = (kind, id) => `/api/${kind}/${encodeURIComponent(id)}`;

// Views and notices

function show(name) {
  for (const view of document.querySelectorAll('main > section')) view.hidden = view.id !== `view-${name}`;
  $('account').hidden = state.user === null;
}

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

function actionButton(className, text, action) {
  const made = element('button', `button ${className}`, text);
  made.type = 'button';
  made.addEventListener('click', () => action(made));
  return made;
}

/** Copies a template and hands out its parts that are to be filled. */
function stamp(id) {
  const root = $(id).content.firstElementChild.cloneNode(true);
  const slots = Object.fromEntries([...root.querySelectorAll('[data-slot]')].map((slot) => [slot.dataset.slot, slot]));
  return { root, slots };
}

function clear(...regions) {
  for (const region of regions) region.replaceChildren();
}

const clearNotices = () => clear($('status'), $('alert'));

/** Puts a notice into a live region, which announces it. */
function notify(kind, text, { region = $(kind === 'error' ? 'alert' : 'status'), requestId, retry } = {}) {
  const words = element('div', 'notice-text', element('p', '', text));
  if (requestId) words.append(element('p', 'fine', `Request id: ${requestId}`));
  const notice = element('div', `notice ${kind}`, words);
  if (retry) notice.append(actionButton('', 'Try again', retry));
  region.replaceChildren(notice);
  notice.scrollIntoView({ block: 'nearest' });
}

/** Where a failed request of a signed-in user ends. */
function fail(failure, retry, region) {
  if (failure.status === 401) return showSignedOut('Your session has ended. Sign in again.');
  clearNotices();
  notify('error', failure.message, { region, requestId: failure.requestId, retry: failure.retryable ? retry : undefined });
}

/** Runs `work` once at a time; aria-disabled instead of disabled, so that the focus stays where it is. */
async function once(control, label, work) {
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

// Address: `organization` stays; `connected` and `choose` go once they are dealt with

const parameter = (name) => new URLSearchParams(location.search).get(name);

function setParameter(name, value) {
  const query = new URLSearchParams(location.search);
  if (value) query.set(name, value);
  else query.delete(name);
  history.replaceState(null, '', query.size ? `/?${query}` : '/');
}

const isPersonal = (id) => id === state.organizations[0].id;
const returnTo = () => (isPersonal(state.organization) ? '/' : `/?organization=${state.organization}`);

// Start and session

async function start() {
  show('loading');
  try {
    const [session, { providers }] = await Promise.all([api('GET', '/api/session'), send('GET', '/api/providers')]);
    await showSignedIn({ ...session, providers });
  } catch (failure) {
    if (failure.status === 401) return showSignedOut();
    clear($('failed'));
    notify('error', failure.message, { region: $('failed'), requestId: failure.requestId, retry: start });
    show('failed');
  }
}

function showSignedIn({ user, expires_at: end, organizations, providers }) {
  const organization = organizations.find(({ id }) => id === parameter('organization')) ?? organizations[0];
  Object.assign(state, { user, sessionEnds: Date.parse(end), organizations, providers, organization: organization.id });
  $('account-email').textContent = user.email ?? user.id;
  $('account-email').title = user.email ?? user.id;
  renderOrganizations();
  renderProviders();
  return parameter('choose') ? openChoice(parameter('choose')) : openList();
}

function showSignedOut(notice) {
  Object.assign(state, { user: null, organization: null });
  clear($('integration-rows'), $('status'), $('alert'), $('sign-in-error'));
  if ($('disconnect').open) $('disconnect').close();
  $('sign-in-lead').textContent = parameter('choose')
    ? 'Sign in to finish the connection that you started.'
    : 'Then connect an account, or see what is connected.';
  show('signed-out');
  if (!notice) return;
  notify('warning', notice);
  $('email').focus();
}

function signIn(event) {
  event.preventDefault();
  const { email, password } = Object.fromEntries(new FormData($('sign-in')));
  return once($('sign-in-submit'), 'Signing in…', async () => {
    clear($('sign-in-error'), $('status'), $('alert'));
    try {
      await send('POST', '/api/session', { email, password });
    } catch (failure) {
      const requestId = failure.status === 401 ? null : failure.requestId;
      notify('error', failure.message, { region: $('sign-in-error'), requestId });
      return $('password').select();
    }
    $('sign-in').reset();
    await start();
    document.querySelector('main > section:not([hidden]) h1').focus();
  });
}

const signOut = () => once($('sign-out'), 'Signing out…', async () => {
  try {
    await send('DELETE', '/api/session');
    for (const name of ['choose', 'organization']) setParameter(name, null);
    showSignedOut('You are signed out.');
  } catch (failure) {
    fail(failure, signOut);
  }
});

// Organizations and providers

function renderOrganizations() {
  const options = state.organizations.map(({ id, role }) => new Option(isPersonal(id) ? 'Personal' : `${id} (${role})`, id));
  $('organization').replaceChildren(...options);
  $('organization').value = state.organization;
  $('organization-field').hidden = options.length < 2;
}

function switchOrganization() {
  state.organization = $('organization').value;
  setParameter('organization', isPersonal(state.organization) ? null : state.organization);
  clearNotices();
  return loadList();
}

const providerName = (type) => state.providers.find((provider) => provider.integration_type === type)?.name ?? type;

function renderProviders() {
  const buttons = state.providers.map(({ integration_type: type, name }) =>
    actionButton('primary', `Connect ${name}`, (button) => connect(type, button)));
  $('providers').replaceChildren(...buttons);
  $('no-providers').hidden = buttons.length > 0;
  $('list-empty-hint').textContent = state.providers.length === 1
    ? `Choose “Connect ${state.providers[0].name}”. You decide at ${state.providers[0].name} what to grant, and come back here.`
    : 'Choose a provider above. You decide there what to grant, and come back here.';
  $('list-empty-hint').hidden = buttons.length === 0;
}

const connect = (type, button) => once(button, `Opening ${providerName(type)}…`, async () => {
  clearNotices();
  try {
    if (state.sessionEnds - Date.now() < FLOW) state.sessionEnds = Date.parse((await refresh()).expires_at);
    const request = { integration_type: type, organization_id: state.organization, return_to: returnTo() };
    location.assign((await api('POST', '/api/auth/authorize', request)).authorization_url);
    // The button stays busy while the browser is leaving.
    await new Promise((resolve) => { setTimeout(resolve, REQUEST_TIMEOUT); });
  } catch (failure) {
    fail(failure, () => connect(type, button));
  }
});

// List

function openList() {
  show('signed-in');
  return loadList();
}

function showList(part) {
  for (const name of ['list-loading', 'list-failed', 'list-empty', 'integrations']) $(name).hidden = name !== part;
  $('list').ariaBusy = String(part === 'list-loading');
}

async function loadList() {
  const { organization } = state;
  state.shown = 0;
  $('list-more').hidden = true;
  showList('list-loading');
  try {
    await loadPage();
  } catch (failure) {
    if (organization !== state.organization) return;
    if (failure.status === 401) return fail(failure);
    notify('error', failure.message, { region: $('list-failed'), requestId: failure.requestId, retry: loadList });
    showList('list-failed');
  }
}

/** Loads what follows the rows that stand there. An answer that fits no more, because the user moved on, is dropped. */
async function loadPage() {
  const { organization, shown } = state;
  const query = new URLSearchParams({ organization_id: organization, offset: shown });
  const { integrations, count } = await api('GET', `/api/integrations?${query}`);
  if (organization !== state.organization || shown !== state.shown) return;
  if (shown === 0) clear($('integration-rows'));
  $('integration-rows').append(...integrations.map(renderRow));
  renderCount(shown + integrations.length, count);
  announceConnected();
}

function renderCount(shown, count) {
  Object.assign(state, { shown, count });
  $('list-count').textContent = `${shown} of ${count}`;
  $('list-more').hidden = shown >= count;
  showList(shown > 0 ? 'integrations' : 'list-empty');
}

const loadMore = () => once($('list-more-button'), 'Loading…', () => loadPage().catch((failure) => fail(failure, loadMore)));

function renderRow(integration) {
  const { root, slots } = stamp('integration-row');
  root.dataset.id = integration.id;
  slots.name.textContent = integration.name;
  slots.type.textContent = providerName(integration.integration_type);
  slots.status.textContent = capitalized(integration.status.replaceAll('_', ' '));
  slots.status.classList.toggle('active', integration.status === 'active');
  slots.age.dateTime = integration.created_at;
  slots.age.title = new Date(integration.created_at).toLocaleString('en', { dateStyle: 'long', timeStyle: 'long' });
  slots.age.textContent = age(integration.created_at);
  slots['disconnect-name'].textContent = ` ${integration.name}`;
  slots.disconnect.addEventListener('click', () => askDisconnect(integration, slots.disconnect));
  return root;
}

function age(timestamp) {
  const minutes = Math.max(0, (Date.now() - Date.parse(timestamp)) / MINUTE);
  if (minutes < 1) return 'just now';
  const units = [['year', 525_960], ['month', 43_830], ['week', 10_080], ['day', 1440], ['hour', 60], ['minute', 1]];
  const [unit, size] = units.find(([, length]) => minutes >= length);
  return new Intl.RelativeTimeFormat('en').format(-Math.floor(minutes / size), unit);
}

const findRow = (id) => $('integration-rows').querySelector(`[data-id="${CSS.escape(id)}"]`);

/** After the callback: `?connected=` proves nothing by itself, the row in the list does. */
function announceConnected() {
  const id = parameter('connected');
  if (!id) return;
  setParameter('connected', null);
  const row = findRow(id);
  if (!row) return;
  row.classList.add('is-new');
  notify('success', `${row.cells[0].textContent} is connected.`);
}

// Disconnect

/** What the provider said to the revocation, in words. */
function revocation(revoked, provider) {
  if (revoked === true) return `${provider} confirmed that access was revoked.`;
  if (revoked === 'unsupported') return `${provider} offers no way to revoke access from here. Remove it in your account there.`;
  return `${provider} did not confirm that access was revoked. Check your account there, and remove the access if it is still listed.`;
}

function askDisconnect(integration, opener) {
  const provider = providerName(integration.integration_type);
  const dialog = $('disconnect');
  dialog.dataset.id = integration.id;
  $('disconnect-title').textContent = `Disconnect ${integration.name}?`;
  $('disconnect-text').textContent = `The integration and its stored credentials are deleted, and its access is revoked at ${provider}.`;
  clear($('disconnect-error'));
  $('disconnect-confirm').onclick = () => disconnect(integration, provider);
  dialog.onclose = () => (opener.isConnected ? opener : $('integrations-title')).focus();
  dialog.showModal();
}

const disconnect = ({ id, name }, provider) => once($('disconnect-confirm'), 'Disconnecting…', async () => {
  clear($('disconnect-error'));
  try {
    const { revoked } = await api('DELETE', resource('integrations', id));
    removeRow(id, revoked === true ? 'success' : 'warning', `${name} is disconnected. ${revocation(revoked, provider)}`);
  } catch (failure) {
    if (failure.status === 404) return removeRow(id, 'warning', `${name} was disconnected already.`);
    fail(failure, undefined, asksAbout(id) ? $('disconnect-error') : undefined);
  }
});

/** Escape closes the dialog while the request still runs, and the user may have opened it for another row by then. */
const asksAbout = (id) => $('disconnect').open && $('disconnect').dataset.id === id;

function removeRow(id, kind, text) {
  const row = findRow(id);
  row?.remove();
  if (asksAbout(id)) $('disconnect').close();
  notify(kind, text);
  // No row: the user has moved on to another list meanwhile.
  if (row) renderCount(state.shown - 1, state.count - 1);
  if (state.shown === 0 && state.count > 0) loadList();
}

// Choice: a grant over several accounts waits until the user has said which one

async function openChoice(id) {
  show('loading');
  try {
    renderChoice(id, await api('GET', resource('connections', id)));
    show('choose');
  } catch (failure) {
    if (failure.retryable || failure.status === 401) throw failure;
    await leaveChoice();
    fail(failure);
  }
}

function renderChoice(id, { integration_type: type, accounts, expires_at: expiry }) {
  const noun = ACCOUNT_NOUNS[type] ?? 'account';
  $('choose-title').textContent = `Choose a ${noun}`;
  $('choose-lead').textContent = `${providerName(type)} granted access to ${accounts.length} ${noun}s.`;
  $('choose-legend').textContent = `Which ${noun} should be connected?`;
  $('choose-options').replaceChildren(...accounts.map((account) => {
    const { root, slots } = stamp('account-option');
    root.querySelector('input').value = account.id;
    slots.name.textContent = account.name;
    slots.id.textContent = account.id;
    return root;
  }));
  $('choose-expiry').textContent = `Choose before ${new Date(expiry).toLocaleTimeString('en', { timeStyle: 'short' })}; after that the grant is dropped.`;
  $('choose').onsubmit = (event) => choose(event, id);
  $('choose-cancel').onclick = () => cancelChoice(id, providerName(type));
}

function choose(event, id) {
  event.preventDefault();
  return once($('choose-submit'), 'Connecting…', async () => {
    clearNotices();
    try {
      const account = new FormData($('choose')).get('account_id');
      location.replace((await api('POST', resource('connections', id), { account_id: account })).return_to);
    } catch (failure) {
      failChoice(failure, () => $('choose').requestSubmit());
    }
  });
}

const cancelChoice = (id, provider) => once($('choose-cancel'), 'Canceling…', async () => {
  clearNotices();
  try {
    const { revoked } = await api('DELETE', resource('connections', id));
    await leaveChoice();
    notify('warning', `Nothing was connected. ${revocation(revoked, provider)}`);
  } catch (failure) {
    failChoice(failure, () => cancelChoice(id, provider));
  }
});

async function failChoice(failure, retry) {
  if (failure.status === 404) await leaveChoice();
  fail(failure, retry);
}

async function leaveChoice() {
  setParameter('choose', null);
  await openList();
  $('integrations-title').focus();
}

// Wiring

$('sign-in').addEventListener('submit', signIn);
$('sign-out').addEventListener('click', signOut);
$('organization').addEventListener('change', switchOrganization);
$('list-more-button').addEventListener('click', loadMore);
// Back from the provider's page: what was restored may be old, and its button still busy.
addEventListener('pageshow', ({ persisted }) => persisted && start());
start();
