/** Who is signed in, and for which organization something is shown. */
import { api, refresh, send } from './requests.js';
import {
  $, clear, clearNotices, depart, focusTitle, notify, once, parameter, setParameter, show,
} from './view.js';

/** How long the way through a provider may take; the session must last as long. */
const FLOW = 10 * 60_000;

/** What is known of the session. None of it is secret and none of it outlives the page. */
export const state = { user: null, sessionEnds: 0, organizations: [], organization: null, providers: [] };

export const provider = (type) => state.providers.find(({ integration_type: offered }) => offered === type);
export const providerName = (type) => provider(type)?.name ?? type;

/** Whether accounts of the type are connected with credentials that the user gives, instead of at the provider. */
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

/** The whole view could not be loaded. */
export function showFailed(failure, retry) {
  if (tellFailed(failure, $('failed'), retry)) show('failed');
}

/** Says in a region that what belongs there could not be loaded, and answers true; unless the session has ended: then that is told. */
export function tellFailed(failure, region, retry) {
  if (failure.status === 401) {
    fail(failure);
    return false;
  }
  notify('error', failure.message, { region, requestId: failure.requestId, retry });
  return true;
}

/** Where a failed request of a signed-in user ends. */
export function fail(failure, retry, region) {
  if (failure.status === 401) return showSignedOut('Your session has ended. Sign in again.');
  clearNotices();
  notify('error', failure.message, { region, requestId: failure.requestId, retry: failure.retryable ? retry : undefined });
}

function showSignedOut(notice) {
  Object.assign(state, { user: null, organization: null });
  depart();
  clear($('integration-rows'), $('trail'), $('webhook-rows'), $('deliveries'), $('sign-in-error'));
  clear($('last-counts'), $('runs-chart'), $('runs-list'), $('findings'), $('unseen-list'), $('unseen-remedy'), $('mutes-list'));
  $('account').hidden = true;
  $('organization-field').hidden = true;
  $('sign-in-lead').textContent = parameter('choose')
    ? 'Sign in to finish the connection that you started.'
    : 'Then connect an account, or see what is connected.';
  show('signed-out');
  if (!notice) return;
  notify('warning', notice);
  $('email').focus();
}

export function signIn(event) {
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
    focusTitle();
  });
}

export const signOut = () => once($('sign-out'), 'Signing out…', async () => {
  try {
    await send('DELETE', '/api/session');
    history.replaceState(null, '', '/');
    showSignedOut('You are signed out.');
  } catch (failure) {
    fail(failure, signOut);
  }
});

/** Renews the session where it would end before the way through a provider does. */
export async function lastFor(flow = FLOW) {
  if (state.sessionEnds - Date.now() < flow) state.sessionEnds = Date.parse((await refresh()).expires_at);
}

// Organization

/** The organization of the address, if the user is a member of it. */
export function readOrganization() {
  const named = state.organizations.find(({ id }) => id === parameter('organization'));
  if (!named) setParameter('organization', null);
  state.organization = (named ?? state.organizations[0]).id;
}

/** Offers the organizations in a view that shows what belongs to one of them. */
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
