/**
 * The connect page. The session lives in HttpOnly cookies: no token reaches these scripts.
 */
import { addApp, openApps, showType, submitApp } from './apps.js';
import { chooseFound, openChoice, renderChooser } from './connect.js';
import { submitCredentials } from './credentials.js';
import { filterFindings, loadMoreFindings, reloadFindings } from './findings.js';
import { checkNow, disconnectShown, openDetails, reconnectShown, refreshNow, rename, reschedule } from './details.js';
import { loadMore, openList } from './list.js';
import { submitMute } from './mute-form.js';
import { chooseSchedule } from './schedule.js';
import { copySecret } from './secret.js';
import { openSecurity, scanNow } from './security.js';
import { onSignedIn, readOrganization, signOut, start, state, switchOrganization } from './session.js';
import { onSessionStarted, openLink, requestCode, signIn, submitCode, submitLink, usePassword } from './sign-in.js';
import { loadMoreEvents } from './trail.js';
import { $, render, onMove, parameter } from './view.js';
import {
  changeWebhook, deleteWebhook, disableWebhook, enableWebhook, loadMoreDeliveries, openWebhook, reloadDeliveries, renewSecret,
} from './webhook.js';
import { showKinds, submitWebhook } from './webhook-form.js';
import { addWebhook, openWebhooks } from './webhooks.js';

/** Views by the parameter that opens them; the first one present wins. */
const VIEWS = { choose: openChoice, security: openSecurity, integration: openDetails, webhook: openWebhook, webhooks: openWebhooks, apps: openApps };

function openAddress() {
  if (openLink()) return undefined;
  if (!state.user) return start();
  readOrganization();
  const named = Object.keys(VIEWS).find(parameter);
  return named ? VIEWS[named](parameter(named)) : openList();
}

onMove(openAddress);
onSignedIn(render);
onSessionStarted(start);

for (const [id, type, listener] of [
  ['sign-in', 'submit', signIn],
  ['code-request', 'click', requestCode],
  ['code', 'submit', submitCode],
  ['code-back', 'click', usePassword],
  ['link', 'submit', submitLink],
  ['link-back', 'click', start],
  ['sign-out', 'click', signOut],
  ['organization', 'change', () => { switchOrganization(); render(); }],
  ['list-more-button', 'click', loadMore],
  ['chooser-search', 'input', renderChooser],
  ['chooser-form', 'submit', chooseFound],
  ['credentials-form', 'submit', submitCredentials],
  ['check', 'click', checkNow],
  ['refresh', 'click', refreshNow],
  ['reconnect', 'click', reconnectShown],
  ['rename', 'submit', rename],
  ['schedule', 'change', chooseSchedule],
  ['reschedule', 'submit', reschedule],
  ['trail-more-button', 'click', loadMoreEvents],
  ['details-disconnect', 'click', disconnectShown],
  ['scan', 'click', scanNow],
  ['findings-state', 'change', filterFindings],
  ['findings-severity', 'change', filterFindings],
  ['findings-reload', 'click', reloadFindings],
  ['findings-more-button', 'click', loadMoreFindings],
  ['mute-form', 'submit', submitMute],
  ['webhook-add', 'click', addWebhook],
  ['webhook-form', 'submit', submitWebhook],
  ['webhook-which', 'change', showKinds],
  ['webhook-enable', 'click', enableWebhook],
  ['webhook-disable', 'click', disableWebhook],
  ['webhook-change', 'click', changeWebhook],
  ['webhook-secret', 'click', renewSecret],
  ['webhook-delete', 'click', deleteWebhook],
  ['deliveries-reload', 'click', reloadDeliveries],
  ['deliveries-more-button', 'click', loadMoreDeliveries],
  ['app-add', 'click', addApp],
  ['app-type', 'change', showType],
  ['app-form', 'submit', submitApp],
  ['secret-copy', 'click', copySecret],
]) $(id).addEventListener(type, listener);
for (const button of document.querySelectorAll('dialog [data-close]')) button.addEventListener('click', () => button.closest('dialog').close());
// Back from the provider's page: the browser may restore an old page whose button is still busy.
addEventListener('pageshow', ({ persisted }) => persisted && start());
openAddress();
