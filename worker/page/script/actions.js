/** What is done with one integration from wherever it is shown: reconnecting and disconnecting it. */
import { askReplacement } from './credentials.js';
import { api, REQUEST_TIMEOUT, resource } from './requests.js';
import { fail, lastFor, providerName, takesCredentials } from './session.js';
import { $, addressOf, clear, clearNotices, once, openDialog } from './view.js';

/** Sends the browser to the provider, and back to `back` in the end. `begin` asks for the way there. */
export async function leave(back, begin) {
  await lastFor();
  location.assign((await begin(addressOf(back))).authorization_url);
  // The button stays busy while the browser is leaving.
  await new Promise((resolve) => { setTimeout(resolve, REQUEST_TIMEOUT); });
}

/** What its user does where the access has ended. */
export const mending = (type) => (takesCredentials(type) ? 'Replace credentials' : 'Reconnect');

export function mend(integration, button, back) {
  return takesCredentials(integration.integration_type) ? askReplacement(integration, button) : reconnect(integration, button, back);
}

const reconnect = (integration, button, back) => once(button, `Opening ${providerName(integration.integration_type)}…`, async () => {
  clearNotices();
  try {
    await leave(back, (path) => api('POST', resource('integrations', integration.id, 'reconnect'), { return_to: path }));
  } catch (failure) {
    fail(failure, () => reconnect(integration, button, back));
  }
});

/** What the provider said to the revocation, in words. */
export function revocation(revoked, provider) {
  if (revoked === true) return `${provider} confirmed that access was revoked.`;
  if (revoked === 'unsupported') return `${provider} offers no way to revoke access from here. Remove it in your account there.`;
  return `${provider} did not confirm that access was revoked. Check your account there, and remove the access if it is still listed.`;
}

/** Asks, and disconnects. `gone` is told `{ kind, text }`, the notice to show where the integration was. */
export function askDisconnect(integration, opener, gone) {
  const provider = providerName(integration.integration_type);
  const dialog = $('disconnect');
  dialog.dataset.id = integration.id;
  $('disconnect-title').textContent = `Disconnect ${integration.name}?`;
  $('disconnect-text').textContent = `The integration and its stored credentials are deleted, and its access is revoked at ${provider}.`;
  clear($('disconnect-error'));
  $('disconnect-confirm').onclick = () => disconnect(integration, provider, gone);
  openDialog(dialog, opener);
}

const disconnect = ({ id, name }, provider, gone) => once($('disconnect-confirm'), 'Disconnecting…', async () => {
  clear($('disconnect-error'));
  const end = (kind, text) => {
    if (asksAbout(id)) $('disconnect').close();
    gone({ kind, text });
  };
  try {
    const { revoked } = await api('DELETE', resource('integrations', id));
    end(revoked === true ? 'success' : 'warning', `${name} is disconnected. ${revocation(revoked, provider)}`);
  } catch (failure) {
    if (failure.status === 404) return end('warning', `${name} was disconnected already.`);
    fail(failure, undefined, asksAbout(id) ? $('disconnect-error') : undefined);
  }
});

/** Escape closes the dialog while the request still runs, and the user may have opened it for another row by then. */
const asksAbout = (id) => $('disconnect').open && $('disconnect').dataset.id === id;
