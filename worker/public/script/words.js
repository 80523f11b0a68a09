/** What codes, moments and schedules are in words. Pure: no document, no requests. */

const MINUTE = 60_000;
const UNITS = [['year', 525_960], ['month', 43_830], ['week', 10_080], ['day', 1440], ['hour', 60], ['minute', 1]];

/** By the API's error codes, for the users of this page. A code that is not here shows the API's own sentence. `{wait}` is when to try again. */
export const MESSAGES = {
  network: 'The server could not be reached. Check your connection.',
  timeout: 'The server took too long to answer.',
  unreadable: 'The server gave an answer that this page does not understand.',
  unauthorized: 'Your session has ended. Sign in again.',
  bad_credentials: 'The email or the password is not right.',
  too_many_sign_ins: 'Too many attempts to sign in. Try again {wait}.',
  too_many_requests: 'That is too much at once. Try again {wait}.',
  forbidden: 'The server refused this request. Open this page at its usual address and try again.',
  method_not_allowed: 'The server does not know this request. Reload the page.',
  unsupported_media_type: 'The server does not know this request. Reload the page.',
  payload_too_large: 'That is more than the server takes.',
  provider_unknown: 'This provider is not set up here any more. Reload the page.',
  invalid_fields: 'A field of the credentials is missing or wrong.',
  credentials_refused: 'The provider does not take these credentials, or they may not read their own account.',
  too_many_attempts: 'Too many credentials were tried. Try again {wait}.',
  connects_by_credentials: 'This provider is connected with credentials. Reload the page.',
  connects_by_oauth: 'This provider is connected by signing in there. Reload the page.',
  not_a_member: 'You are not a member of this organization any more.',
  too_many_connections: 'Too many connections were started and not finished. Wait ten minutes, then try again.',
  not_refreshable: 'The provider gave nothing to renew the access with. Reconnect when it ends.',
  not_assessable: 'Nothing is checked at this provider.',
  reconnect_required: 'The access has ended. Reconnect the integration, then scan it.',
  too_many_scans: 'You have started too many scans. Try again {wait}.',
  too_many_mutes: 'An organization has 1,000 mutes at the most. End one first.',
  not_checkable: 'Nothing at this provider tells whether the access works.',
  provider_paused: 'The provider takes no more requests for now. Try again {wait}.',
  provider_rate_limited: 'The provider takes no more requests for now, and this authorization is spent. Start again {wait}.',
  account_unknown: 'Nothing says which account this integration belongs to, so it cannot be reconnected. Disconnect it and connect again.',
  newer_credentials: 'Newer credentials of this account were stored meanwhile. Nothing was changed.',
  account_mismatch: 'That is another account than the one of this integration. Nothing was changed.',
  name_taken: 'Another integration of this provider has that name. Choose a different one.',
  provider_failed: 'The provider did not answer as it should. Try again in a moment.',
  upstream_unavailable: 'A service that this page depends on is not available at the moment.',
  upstream_timeout: 'A service that this page depends on took too long to answer.',
  upstream_failed: 'A service that this page depends on did not answer as it should.',
  bad_url: 'Only https addresses of public servers are told, without a user name or a fragment, on port 443 or above 1023.',
  too_many_webhooks: 'An organization has ten webhooks at the most. Remove one first.',
  webhook_disabled: 'The webhook is disabled. Enable it first.',
  save_failed: 'The integration could not be saved.',
  internal: 'Something went wrong on the server. Its operator finds it under the request id.',
};

/** Why a status is what it is, or why something failed: by the reason's code. */
export const REASONS = {
  invalid_grant: 'The provider says that the access was withdrawn or has run out.',
  invalid_client: 'The provider does not take these credentials any more.',
  not_refreshable: 'The access has ended, and the provider gave nothing to renew it with.',
  refresh_lost: 'The provider’s answer to a renewal was lost, and it has ended the access since.',
  refused: 'The provider refused for the moment.',
  refresh_refused: 'The provider has refused to renew the access for more than a day.',
  unreadable: 'The stored credentials could not be opened.',
  outcome_unknown: 'The provider gave no usable answer.',
  timeout: 'The provider took too long to answer.',
  unreachable: 'The provider could not be reached.',
  provider_failed: 'The provider reported a fault of its own.',
  rate_limited: 'The provider takes no more requests for now.',
  bad_answer: 'The provider’s answer could not be understood.',
  refresh_failed: 'The access has ended or is refused, and the provider did not renew it.',
  forbidden: 'The provider does not permit what was asked.',
  unauthorized: 'The provider does not take the access any more.',
  token_revoked: 'The provider says that the access was withdrawn.',
  account_gone: 'The access does not cover this account any more.',
  account_changed: 'Another account answers with this access.',
  abandoned: 'The connection could not be stored.',
  expired: 'Nobody chose an account.',
  discarded: 'The connection was given up.',
  disconnected: 'The integration was disconnected.',
  replaced: 'Another connection of the same account took its place.',
  late: 'The integration was deleted while its access was renewed.',
};

/** What a status means, where no reason says more. */
const STATUSES = {
  active: 'The access works as far as is known.',
  degraded: 'The last look at it found something wrong. It may mend by itself.',
  reconnect_required: 'The access has ended. Only reconnecting helps.',
  revoked: 'The access was withdrawn at the provider.',
};

/** What credentials were opened for, by the event's reason. */
export const PURPOSES = {
  check: 'to check the access',
  choose: 'to finish a connection',
  credential: 'by a program',
  disconnect: 'to revoke the access at the provider',
  refresh: 'to renew the access',
  revoke: 'to revoke the access at the provider',
  scan: 'to scan the account',
};

/** What a check found, by the event's outcome. */
const VERDICTS = {
  active: 'the access works',
  degraded: 'nobody knows whether the access works',
  reconnect_required: 'the access has ended',
  revoked: 'the access was withdrawn',
};

/** What happened, by action; a function takes the event. */
export const HAPPENINGS = {
  connected: 'Connected',
  reconnected: ({ reason }) => (reason === 'requested' ? 'Reconnected' : 'Connected again'),
  opened: ({ reason }) => `Credentials opened ${PURPOSES[reason] ?? (reason ? `for “${reason.replaceAll('_', ' ')}”` : '')}`.trim(),
  refreshed: 'Access renewed',
  refresh_failed: ({ outcome }) => (outcome === 'reconnect_required' ? 'Access could not be renewed and has ended' : 'Access could not be renewed'),
  checked: ({ outcome }) => (VERDICTS[outcome] ? `Checked: ${VERDICTS[outcome]}` : 'Checked'),
  renamed: 'Renamed',
  rescheduled: 'Automatic checks changed',
  rotated: 'Credentials sealed with another key',
  disconnected: 'Disconnected',
  revoked: ({ outcome }) => REVOCATIONS[outcome] ?? 'Access revoked at the provider',
};
const REVOCATIONS = {
  failed: 'Access could not be revoked at the provider',
  unsupported: 'Access not revoked: the provider offers no way to do it from here',
  kept: 'Access not revoked: another integration uses it',
};
/** Actions whose reason is said by the happening itself, or is no code of ours. */
const TOLD = ['connected', 'reconnected', 'opened', 'rotated'];

/** The API's words, or a name out of the database, as a reader expects them. */
export const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const sentence = (text) => capitalized(text).replace(/[^.!?]$/, '$&.');

export const statusName = (status) => capitalized(status.replaceAll('_', ' '));

/** A reason's code as a sentence; a code that is not known here, in its own words. */
export const reasonText = (reason) => REASONS[reason] ?? sentence(reason.replaceAll('_', ' '));

export const statusText = ({ status, status_reason: reason }) => (reason ? reasonText(reason) : STATUSES[status] ?? '');

/** `{ what, why }` of an event; why may be empty. */
export function eventText(event) {
  const happening = HAPPENINGS[event.action] ?? statusName(event.action);
  return {
    what: typeof happening === 'string' ? happening : happening(event),
    why: event.reason && !TOLD.includes(event.action) ? reasonText(event.reason) : '',
  };
}

export function actorName({ actor, user_id: id, details }, me) {
  if (actor === 'user') return id === me ? 'You' : 'Another member';
  if (actor === 'service_key') return `Service key ${details?.name ?? ''}`.trim();
  return { service: 'Automatic', scanner: 'Scanner' }[actor] ?? 'Operator';
}

const relative = (minutes) => {
  const [unit, size] = UNITS.find(([, length]) => Math.abs(minutes) >= length);
  return new Intl.RelativeTimeFormat('en').format(Math.trunc(minutes / size), unit);
};
const minutesTo = (timestamp) => (Date.parse(timestamp) - Date.now()) / MINUTE;

/** How long ago. The clocks of server and browser need not agree: nothing that has happened is still to come. */
export function ago(timestamp) {
  const minutes = minutesTo(timestamp);
  return minutes > -1 ? 'just now' : relative(minutes);
}

/** In how long, of so many seconds; never sooner than it is. */
export const inSeconds = (seconds) => relative(Math.max(1, Math.ceil(seconds / 60)));

/** In how long; what is past, how long ago. */
export function inTime(timestamp) {
  const minutes = minutesTo(timestamp);
  return Math.abs(minutes) < 1 ? 'any moment now' : relative(minutes);
}

export const moment = (timestamp) => new Date(timestamp).toLocaleString('en', { dateStyle: 'long', timeStyle: 'long' });
