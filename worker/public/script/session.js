/** The signed-in user and the selected organization. */
import { api, refresh, send } from './requests.js';
import { showSignIn } from './sign-in.js';
import {
  $, clear, clearNotices, closeView, notify, whileBusy, parameter, setParameter, show,
} from './view.js';

/** How long an authorization may take. The session must last as long. */
const FLOW = 10 * 60_000;

/** The session as the page knows it. Nothing in it is secret, and nothing is kept when the page closes. */
export const state = { user: null, sessionEnds: 0, organizations: [], organization: null, providers: [], apps: [] };

export const provider = (type) => state.providers.find(({ integration_type: offered }) => offered === type);
export const providerName = (type) => provider(type)?.name ?? type;

/** Whether accounts of this type are connected with credentials that the user enters, not with OAuth. */
export const takesCredentials = (type) => (provider(type)?.auth ?? 'oauth') !== 'oauth';

const isPersonal = (id) => id === state.organizations[0].id;

let whenSignedIn = () => {};

export function onSignedIn(open) {
  whenSignedIn = open;
}

export async function start() {
  show('loading');
  try {
    const [session, { providers }] = await Promise.all([api('GET', '/api/session'), send('GET', '/api/providers')]);
    const { user, expires_at: end, organizations } = session;
    Object.assign(state, { user, sessionEnds: Date.parse(end), organizations, providers });
    $('account').hidden = false;
    $('account-email').textContent = user.email ?? user.id;
    $('account-email').title = user.email ?? user.id;
    readOrganization();
    await whenSignedIn();
  } catch (failure) {
    if (failure.status === 401) return showSignedOut();
    showFailed(failure, start);
  }
}

/** Shows that the whole view could not be loaded. */
export function showFailed(failure, retry) {
  if (showLoadFailure(failure, $('failed'), retry)) show('failed');
}

/** Shows a load error in a region and returns true. If the session has ended, shows the sign-in instead and returns false. */
export function showLoadFailure(failure, region, retry) {
  if (failure.status === 401) {
    fail(failure);
    return false;
  }
  notify('error', failure.message, { region, requestId: failure.requestId, retry });
  return true;
}

/** Shows that a request of a signed-in user failed. */
export function fail(failure, retry, region) {
  if (failure.status === 401) return showSignedOut('Your session has ended. Sign in again.');
  clearNotices();
  notify('error', failure.message, { region, requestId: failure.requestId, retry: failure.retryable ? retry : undefined });
}

function showSignedOut(notice) {
  Object.assign(state, { user: null, organization: null });
  delete document.body.dataset.role;
  closeView();
  clear($('integration-rows'), $('trail'), $('webhook-rows'), $('deliveries'), $('app-rows'));
  clear($('last-counts'), $('runs-chart'), $('runs-list'), $('findings'), $('unseen-list'), $('unseen-remedy'), $('mutes-list'));
  $('account').hidden = true;
  $('organization-field').hidden = true;
  $('sign-in-lead').textContent = parameter('choose')
    ? 'Sign in to finish the connection that you started.'
    : 'Sign in to connect accounts and see your integrations.';
  show('signed-out');
  showSignIn();
  if (parameter('sign_in') === 'failed') {
    setParameter('sign_in', null);
    notify('error', 'Signing in there did not work. Try again.');
  }
  if (!notice) return;
  notify('warning', notice);
  $('email').focus();
}

export const signOut = () => whileBusy($('sign-out'), 'Signing out…', async () => {
  try {
    await send('DELETE', '/api/session');
    history.replaceState(null, '', '/');
    showSignedOut('You are signed out.');
  } catch (failure) {
    fail(failure, signOut);
  }
});

/** Refreshes the session if it would end during an authorization. */
export async function ensureSessionLasts(flow = FLOW) {
  if (state.sessionEnds - Date.now() < flow) state.sessionEnds = Date.parse((await refresh()).expires_at);
}

// Organization

/** Reads the organization from the address, if the user is a member of it. */
export function readOrganization() {
  const named = state.organizations.find(({ id }) => id === parameter('organization'));
  if (!named) setParameter('organization', null);
  const { id, role } = named ?? state.organizations[0];
  state.organization = id;
  document.body.dataset.role = role;
}

/** Shows or hides the choice of the organization. */
export function showOrganizations(shown) {
  $('organization-field').hidden = !shown || state.organizations.length < 2;
  const options = state.organizations.map(({ id, role }) => new Option(isPersonal(id) ? 'Personal' : `${id} (${role})`, id));
  $('organization').replaceChildren(...options);
  $('organization').value = state.organization;
}

export function switchOrganization() {
  const id = $('organization').value;
  setParameter('organization', isPersonal(id) ? null : id);
  readOrganization();
}
