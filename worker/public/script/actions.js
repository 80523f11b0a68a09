/** Reconnecting and disconnecting an integration, from the list or its own page. */
import { confirm } from './confirm.js';
import { askReplacement } from './credentials.js';
import { api, REQUEST_TIMEOUT, resource } from './requests.js';
import { fail, ensureSessionLasts, providerName, takesCredentials } from './session.js';
import { addressOf, clearNotices, whileBusy } from './view.js';

/** Sends the browser to the provider's authorization page. `begin` requests its address; the provider's flow ends at `back`. */
export async function redirectToProvider(back, begin) {
  await ensureSessionLasts();
  location.assign((await begin(addressOf(back))).authorization_url);
  // The button stays busy until the browser has left the page.
  await new Promise((resolve) => { setTimeout(resolve, REQUEST_TIMEOUT); });
}

export const reconnectLabel = (type) => (takesCredentials(type) ? 'Replace credentials' : 'Reconnect');

export function reconnect(integration, button, back) {
  return takesCredentials(integration.integration_type) ? askReplacement(integration, button) : redirectToReconnect(integration, button, back);
}

const redirectToReconnect = (integration, button, back) => whileBusy(button, `Opening ${providerName(integration.integration_type)}…`, async () => {
  clearNotices();
  try {
    await redirectToProvider(back, (path) => api('POST', resource('integrations', integration.id, 'reconnect'), { return_to: path }));
  } catch (failure) {
    fail(failure, () => redirectToReconnect(integration, button, back));
  }
});

/** The provider's response to a revocation, in words. */
export function revocation(revoked, provider) {
  if (revoked === true) return `${provider} confirmed that access was revoked.`;
  if (revoked === 'unsupported') return `${provider} offers no way to revoke access from here. Remove the access in your account there.`;
  if (revoked === 'unknown') return `${provider} revoked this access, but an earlier one of the same account may still exist. Check your account there.`;
  return `${provider} did not confirm that access was revoked. The server retries for a day. Check your account there, and remove the access if it is still listed.`;
}

/** What a disconnection does, in words. */
export const disconnection = (type) => (takesCredentials(type)
  ? `The integration and its stored credentials are deleted. They stay valid at ${providerName(type)}: revoke them there.`
  : `The integration and its stored credentials are deleted, and its access is revoked at ${providerName(type)}.`);

/** Asks for confirmation and disconnects. `gone` gets `{ kind, text }`, the notice to show. */
export function askDisconnect({ id, name, integration_type: type }, opener, gone) {
  const provider = providerName(type);
  confirm({
    title: `Disconnect ${name}?`,
    text: disconnection(type),
    label: 'Disconnect',
    busy: 'Disconnecting…',
    async work() {
      try {
        const { revoked } = await api('DELETE', resource('integrations', id));
        return () => gone({ kind: revoked === true ? 'success' : 'warning', text: `${name} is disconnected. ${revocation(revoked, provider)}` });
      } catch (failure) {
        if (failure.status !== 404) throw failure;
        return () => gone({ kind: 'warning', text: `${name} was already disconnected.` });
      }
    },
  }, opener);
}
