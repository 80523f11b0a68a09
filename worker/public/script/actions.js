/** What is done with one integration from wherever it is shown: reconnecting and disconnecting it. */
import { confirm } from './confirm.js';
import { askReplacement } from './credentials.js';
import { api, REQUEST_TIMEOUT, resource } from './requests.js';
import { fail, lastFor, providerName, takesCredentials } from './session.js';
import { addressOf, clearNotices, once } from './view.js';

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
  if (revoked === 'unknown') return `${provider} revoked this access, but an earlier one of the same account may still exist. Check your account there.`;
  return `${provider} did not confirm that access was revoked. It is asked again for a day. Check your account there, and remove the access if it is still listed.`;
}

/** What a disconnection does, in words. */
export const disconnection = (type) => (takesCredentials(type)
  ? `The integration and its stored credentials are deleted. What you gave stays good at ${providerName(type)}: revoke it there.`
  : `The integration and its stored credentials are deleted, and its access is revoked at ${providerName(type)}.`);

/** Asks, and disconnects. `gone` is told `{ kind, text }`, the notice to show where the integration was. */
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
        return () => gone({ kind: 'warning', text: `${name} was disconnected already.` });
      }
    },
  }, opener);
}
