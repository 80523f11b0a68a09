/** The page's words for webhooks. Pure, like words.js. */
import { inTime } from './words.js';

/** Events by type. */
export const EVENTS = {
  'connection.created': 'Connected',
  'connection.reconnected': 'Reconnected',
  'connection.refreshed': 'Access refreshed',
  'connection.refresh_failed': 'Access could not be refreshed',
  'connection.degraded': 'May not work',
  'connection.reconnect_required': 'Needs to be reconnected',
  'connection.deleted': 'Disconnected',
  'finding.opened': 'A finding was opened',
  'finding.reopened': 'A finding was opened again',
  'finding.resolved': 'A finding was resolved',
  'finding.mute_ended': 'A mute ended',
  'assessment.completed': 'A scan is complete',
  'assessment.incomplete': 'A scan is incomplete',
};

/** The least severity of the findings that a webhook receives; empty for any. */
export const LEAST = { '': 'Any', low: 'Low and above', medium: 'Medium and above', high: 'High and above', critical: 'Critical only' };

/** Why a delivery failed. `{status}` is the receiver's status. */
export const FAULTS = {
  status: 'The server answered {status}.',
  redirect: 'The server answered with a redirect, which is not followed.',
  timeout: 'The server did not answer within ten seconds.',
  unreachable: 'The server could not be reached.',
  refused: 'Webhooks may not be sent to this address.',
  unreadable: 'The secret could not be opened, so nothing was sent. Make a new secret.',
  expired: 'It was not delivered within three days: the webhook was disabled, or an earlier event had to be delivered first.',
};

/** Why a webhook was disabled, if no member did it. */
export const ENDINGS = {
  gone: 'The server responded that it is permanently gone (410). Enable the webhook once the server is back.',
};

const STATE_TEXTS = {
  delivered: () => 'Delivered',
  failed: ({ attempts }) => (attempts ? `Gave up after ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}` : 'Gave up'),
  pending: ({ attempts, next_attempt_at: next }) => (attempts ? `Tried ${times(attempts)}, again ${inTime(next)}` : 'Waiting to be sent'),
};
export const STATES = Object.keys(STATE_TEXTS);

const times = (count) => (count === 1 ? 'once' : `${count} times`);

export const eventName = (type) => EVENTS[type] ?? type;

export const eventNames = (types) => (types ? types.map(eventName).join(', ') : 'All events');

/** None is less severe than `info`. */
export const leastName = (severity) => LEAST[severity === 'info' ? '' : severity ?? ''] ?? severity;

/** `{ what, how, why }` of a delivery; why may be empty. */
export function deliveryText(delivery) {
  const { type, state, last_error: fault, last_status: status } = delivery;
  return {
    what: eventName(type),
    how: `${STATE_TEXTS[state]?.(delivery) ?? state}.`,
    why: fault ? (FAULTS[fault] ?? fault).replace('{status}', status) : '',
  };
}
