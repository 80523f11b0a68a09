/** The ways to sign in: a password, a code by e-mail, a link, or one of the project's OAuth providers. */
import { send } from './requests.js';
import { $, actionButton, clear, closeView, focusTitle, notify, setParameter, show, whileBusy } from './view.js';
import { providerTitle } from './words.js';

let whenSignedIn = () => {};
let link = null;

export function onSessionStarted(start) {
  whenSignedIn = start;
}

/** Shows the ways that the project has switched on. If they cannot be read, a password remains. */
export async function showSignIn() {
  $('link').hidden = true;
  clear($('sign-in-error'), $('code-error'), $('sign-in-providers'));
  showCode(false);
  let methods = { email: true, providers: [] };
  let known = false;
  try {
    methods = await send('GET', '/api/session/methods');
    known = true;
  } catch { /* the password form says what is wrong, if more than this is */ }
  $('sign-in').hidden = !methods.email;
  $('code-request').hidden = !(known && methods.email);
  const buttons = methods.providers.map((provider) =>
    actionButton('wide', `Continue with ${providerTitle(provider)}`, (button) => continueWith(provider, button)));
  $('sign-in-providers').replaceChildren(...buttons);
}

function showCode(shown) {
  $('sign-in').hidden = shown;
  $('code').hidden = !shown;
  $('code').reset();
}

export function usePassword() {
  showCode(false);
  $('password').focus();
}

/**
 * If the address has the token of a link, takes it out of the address, asks whether to sign in with it, and returns true. The token works
 * once, so nothing but the user's click uses it: programs that look at links in e-mails click nothing.
 */
export function openLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  const [token, address] = ['token_hash', 'email'].map((name) => given.get(name));
  if (!token || !address) return false;
  // A plus that is not escaped is read as a blank, which no address has.
  const email = address.replaceAll(' ', '+');
  link = { email, token_hash: token };
  history.replaceState(history.state, '', location.pathname + location.search);
  closeView();
  $('account').hidden = true;
  clear($('link-error'), $('sign-in-providers'));
  $('sign-in-lead').textContent = `A link has brought you here to sign in as ${email}.`;
  for (const form of ['sign-in', 'code']) $(form).hidden = true;
  $('link').hidden = false;
  show('signed-out');
  return true;
}

export function submitLink(event) {
  event.preventDefault();
  return whileBusy($('link-submit'), 'Signing in…', async () => {
    await begin($('link-error'), link, 'The link is no longer valid. Sign in another way.');
  });
}

async function begin(region, credentials, wrong) {
  clear(region, $('status'), $('alert'));
  try {
    await send('POST', '/api/session', credentials);
  } catch (failure) {
    const requestId = failure.status === 401 ? null : failure.requestId;
    notify('error', failure.code === 'bad_credentials' ? wrong : failure.message, { region, requestId });
    return false;
  }
  for (const form of ['sign-in', 'code']) $(form).reset();
  await whenSignedIn();
  focusTitle();
  return true;
}

export function signIn(event) {
  event.preventDefault();
  const { email, password } = Object.fromEntries(new FormData($('sign-in')));
  return whileBusy($('sign-in-submit'), 'Signing in…', async () => {
    if (!await begin($('sign-in-error'), { email, password }, 'The email or the password is wrong.')) $('password').select();
  });
}

export function requestCode() {
  if (!$('email').reportValidity()) return undefined;
  const email = $('email').value;
  return whileBusy($('code-request'), 'Sending…', async () => {
    clear($('sign-in-error'));
    try {
      await send('POST', '/api/session/code', { email });
    } catch (failure) {
      return notify('error', failure.message, { region: $('sign-in-error'), requestId: failure.requestId });
    }
    $('code-lead').textContent = `If ${email} has an account, a code is on its way there.`;
    showCode(true);
    return $('code-input').focus();
  });
}

export function submitCode(event) {
  event.preventDefault();
  const credentials = { email: $('email').value, code: $('code-input').value };
  return whileBusy($('code-submit'), 'Signing in…', async () => {
    if (!await begin($('code-error'), credentials, 'The code is wrong, or no longer valid.')) $('code-input').select();
  });
}

function continueWith(provider, button) {
  return whileBusy(button, 'Going there…', async () => {
    setParameter('sign_in', null);
    const { pathname, search } = location;
    try {
      const { authorization_url: url } = await send('POST', '/api/session/authorize', { provider, return_to: pathname + search });
      location.assign(url);
    } catch (failure) {
      notify('error', failure.message, { region: $('sign-in-error'), requestId: failure.requestId });
    }
  });
}
