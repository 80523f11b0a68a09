/** The page's words for codes and times. Pure: no document, no requests. */

const MINUTE = 60_000;
const UNITS = [['year', 525_960], ['month', 43_830], ['week', 10_080], ['day', 1440], ['hour', 60], ['minute', 1]];

/** Messages by the API's error code. A code without one shows the API's own message. `{wait}` becomes the time to wait. */
export const MESSAGES = {
  network: 'The server could not be reached. Check your connection.',
  timeout: 'The server took too long to respond.',
  unreadable: 'The page could not read the server’s response.',
  unauthorized: 'Your session has ended. Sign in again.',
  bad_credentials: 'The email or the password is wrong.',
  too_many_sign_ins: 'Too many sign-in attempts. Try again {wait}.',
  too_many_requests: 'Too many requests. Try again {wait}.',
  forbidden: 'The server rejected this request. Open this page at its usual address and try again.',
  flow_foreign: 'This link was opened in another browser. Continue there, or get another link.',
  link_used: 'This link was opened before, and works only once. Go back to where you got it, and start again.',
  link_expired: 'This link has expired. Go back to where you got it, and start again.',
  connect_session_over: 'This connection has ended. Go back to the application that sent you here.',
  type_not_allowed: 'The application did not ask for an account of this provider.',
  method_not_allowed: 'The server does not know this request. Reload the page.',
  unsupported_media_type: 'The server does not know this request. Reload the page.',
  payload_too_large: 'The request is too large.',
  provider_unknown: 'This provider is no longer set up here. Reload the page.',
  invalid_fields: 'A field of the credentials is missing or wrong.',
  credentials_refused: 'The provider rejects these credentials, or they may not read their own account.',
  too_many_attempts: 'Too many credentials were tried. Try again {wait}.',
  connects_by_credentials: 'This provider is connected with credentials. Reload the page.',
  connects_by_oauth: 'This provider is connected by signing in there. Reload the page.',
  not_a_member: 'You are no longer a member of this organization.',
  not_an_admin: 'Your role in this organization may only see. Ask an owner to make you an admin.',
  too_many_connections: 'Too many connections were started and not finished. Wait ten minutes, then try again.',
  not_refreshable: 'This integration has no refresh token. Reconnect it when its access ends.',
  not_assessable: 'There are no checks for this provider.',
  reconnect_required: 'The access has ended. Reconnect the integration, then scan it.',
  too_many_scans: 'You have started too many scans. Try again {wait}.',
  too_many_mutes: 'An organization can have at most 1,000 mutes. End one first.',
  not_checkable: 'This provider offers no way to check this access.',
  provider_paused: 'The provider limits the number of requests. Try again {wait}.',
  provider_rate_limited: 'The provider limits the number of requests, and this authorization can be used only once. Start again {wait}.',
  account_unknown: 'This integration has no recorded account, so it cannot be reconnected. Disconnect it and connect again.',
  newer_credentials: 'Newer credentials of this account have been stored in the meantime. Nothing was changed.',
  account_mismatch: 'You authorized a different account than the one this integration uses. Nothing was changed.',
  name_taken: 'Another integration of this provider has that name. Choose a different one.',
  provider_failed: 'The provider did not respond as expected. Try again in a moment.',
  upstream_unavailable: 'A service that this page depends on is unavailable.',
  upstream_timeout: 'A service that this page depends on took too long to respond.',
  upstream_failed: 'A service that this page depends on did not respond as expected.',
  bad_url: 'Only public https URLs can receive webhooks: no user name, no fragment, port 443 or above 1023.',
  too_many_webhooks: 'An organization can have at most ten webhooks. Delete one first.',
  webhook_disabled: 'The webhook is disabled. Enable it first.',
  oauth_app_exists: 'An OAuth app of this provider with this client ID is set up already. Change its secret instead.',
  oauth_app_unreadable: 'The secret of the OAuth app could not be opened. An admin must set it again.',
  too_many_oauth_apps: 'An organization can have at most 20 OAuth apps. Delete one first.',
  save_failed: 'The integration could not be saved.',
  internal: 'Internal error. Give the request ID to the operator.',
};

/** Reasons of a status or a failure, by code. */
export const REASONS = {
  invalid_grant: 'The provider says that the access was revoked or has expired.',
  invalid_client: 'The provider rejects these credentials.',
  not_refreshable: 'The access has expired, and there is no refresh token.',
  refresh_lost: 'The provider’s response to a refresh was lost, and the provider has ended the access since.',
  refused: 'The provider rejected the request for now.',
  refresh_refused: 'The provider has refused to refresh the access for more than a day.',
  unreadable: 'The stored credentials could not be opened.',
  app_unreadable: 'The secret of your OAuth app could not be opened. Set it again.',
  outcome_unknown: 'The provider gave no usable response.',
  timeout: 'The provider took too long to respond.',
  unreachable: 'The provider could not be reached.',
  provider_failed: 'The provider reported an error of its own.',
  rate_limited: 'The provider limits the number of requests.',
  bad_answer: 'The provider’s response could not be read.',
  refresh_failed: 'The access has expired or is rejected, and the provider did not refresh it.',
  forbidden: 'The provider does not permit this request.',
  unauthorized: 'The provider rejects the access.',
  token_revoked: 'The provider says that the access was revoked.',
  account_gone: 'The access no longer covers this account.',
  account_changed: 'This access now belongs to another account.',
  abandoned: 'The connection could not be stored.',
  expired: 'Nobody chose an account.',
  discarded: 'The connection was canceled.',
  disconnected: 'The integration was disconnected.',
  replaced: 'Another connection of the same account replaced it.',
  late: 'The integration was deleted during a refresh.',
};

/** What a status means if it has no reason. */
const STATUSES = {
  active: 'The access works, as far as is known.',
  degraded: 'The last check failed. It may recover on its own.',
  reconnect_required: 'The access has ended. Reconnect the integration.',
  revoked: 'The access was revoked at the provider.',
};

/** Why credentials were opened, by the event's reason. */
export const PURPOSES = {
  check: 'to check the access',
  choose: 'to finish a connection',
  complete: 'to finish a connection',
  credential: 'by a program',
  disconnect: 'to revoke the access at the provider',
  refresh: 'to refresh the access',
  revoke: 'to revoke the access at the provider',
  scan: 'to scan the account',
};

/** The verdict of a check, by the event's outcome. */
const VERDICTS = {
  active: 'the access works',
  degraded: 'the access may not work',
  reconnect_required: 'the access has ended',
  revoked: 'the access was revoked',
};

/** What happened, by action. A function gets the event. A rotation (`rotated`) is an event of the organization, so no integration shows it. */
export const ACTIONS = {
  connected: ({ reason }) => (reason === 'import' ? 'Imported' : 'Connected'),
  reconnected: ({ reason }) => (reason === 'requested' ? 'Reconnected' : reason === 'import' ? 'Imported again' : 'Connected again'),
  opened: ({ reason }) => `Credentials opened ${PURPOSES[reason] ?? (reason ? `for “${reason.replaceAll('_', ' ')}”` : '')}`.trim(),
  refreshed: 'Access refreshed',
  refresh_failed: ({ outcome }) => (outcome === 'reconnect_required' ? 'Access could not be refreshed and has ended' : 'Access could not be refreshed'),
  checked: ({ outcome }) => (VERDICTS[outcome] ? `Checked: ${VERDICTS[outcome]}` : 'Checked'),
  renamed: 'Renamed',
  rescheduled: 'Automatic checks changed',
  tagged: 'Tags changed',
  disconnected: 'Disconnected',
  revoked: ({ outcome }) => REVOCATIONS[outcome] ?? 'Access revoked at the provider',
};
const REVOCATIONS = {
  failed: 'Access could not be revoked at the provider',
  unsupported: 'Access not revoked: the provider offers no way to do this',
  kept: 'Access not revoked: another integration uses it',
};
/** Actions whose text already contains the reason, or whose reason is not one of our codes. */
const SAYS_ITS_REASON = ['connected', 'reconnected', 'opened'];

export const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const sentence = (text) => capitalized(text).replace(/[^.!?]$/, '$&.');

export const statusName = (status) => capitalized(status.replaceAll('_', ' '));

/** A reason's code as a sentence; an unknown code is shown as it is. */
export const reasonText = (reason) => REASONS[reason] ?? sentence(reason.replaceAll('_', ' '));

export const statusText = ({ status, status_reason: reason }) => (reason ? reasonText(reason) : STATUSES[status] ?? '');

/** `{ what, why }` of an event; why may be empty. */
export function eventText(event) {
  const action = ACTIONS[event.action] ?? statusName(event.action);
  return {
    what: typeof action === 'string' ? action : action(event),
    why: event.reason && !SAYS_ITS_REASON.includes(event.action) ? reasonText(event.reason) : '',
  };
}

export function actorName({ actor, user_id: id, details }, me) {
  if (actor === 'user') return id === me ? 'You' : 'Another member';
  if (actor === 'service_key') {
    const user = details?.external_user_id;
    return `Service key ${details?.name ?? ''}${user ? ` for ${user}` : ''}`.trim();
  }
  return { service: 'Automatic', scanner: 'Scanner' }[actor] ?? 'Operator';
}

const relative = (minutes) => {
  const [unit, size] = UNITS.find(([, length]) => Math.abs(minutes) >= length);
  return new Intl.RelativeTimeFormat('en').format(Math.trunc(minutes / size), unit);
};
const minutesTo = (timestamp) => (Date.parse(timestamp) - Date.now()) / MINUTE;

/** How long ago. The clocks of server and browser may differ, so a time in the future is shown as now. */
export function ago(timestamp) {
  const minutes = minutesTo(timestamp);
  return minutes > -1 ? 'just now' : relative(minutes);
}

/** A number of seconds as a time from now, rounded up. */
export const inSeconds = (seconds) => relative(Math.max(1, Math.ceil(seconds / 60)));

/** A time in the future; a past one is shown as such. */
export function inTime(timestamp) {
  const minutes = minutesTo(timestamp);
  return Math.abs(minutes) < 1 ? 'any moment now' : relative(minutes);
}

export const moment = (timestamp) => new Date(timestamp).toLocaleString('en', { dateStyle: 'long', timeStyle: 'long' });

const PROVIDERS = { github: 'GitHub', gitlab: 'GitLab', linkedin_oidc: 'LinkedIn', slack_oidc: 'Slack', workos: 'WorkOS', azure: 'Microsoft' };

/** A provider of the project's sign-in, by Supabase's name. */
export const providerTitle = (name) => PROVIDERS[name] ?? name.charAt(0).toUpperCase() + name.slice(1);
