/** What a webhook's codes are in words. Pure, like words.js. */
import { inTime } from './words.js';

/** What is told, by its type. */
export const EVENTS = {
  'connection.created': 'Connected',
  'connection.reconnected': 'Reconnected',
  'connection.refreshed': 'Access renewed',
  'connection.refresh_failed': 'Access could not be renewed',
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

/** The least severity of the findings that are told; empty for any. */
export const LEAST = { '': 'Any', low: 'Low and above', medium: 'Medium and above', high: 'High and above', critical: 'Critical only' };

/** Why an attempt was none; `{status}` is what the receiver answered. */
export const FAULTS = {
  status: 'The server answered {status}.',
  redirect: 'The server answered with a redirect, which is not followed.',
  timeout: 'The server did not answer within ten seconds.',
  unreachable: 'The server could not be reached.',
  refused: 'Nothing may be sent to this address any more.',
  unreadable: 'The secret could not be opened, so nothing was signed. A new secret mends it.',
  expired: 'It waited for three days: the webhook was disabled, or an earlier event was in the way.',
};

/** Why a webhook was disabled, unless a member did it. */
export const ENDINGS = {
  gone: 'The server answered that it is gone for good (410). Enable the webhook once it is back.',
};

const HOW_IT_IS = {
  delivered: () => 'Delivered',
  failed: ({ attempts }) => (attempts ? `Given up after being tried ${times(attempts)}` : 'Given up'),
  pending: ({ attempts, next_attempt_at: next }) => (attempts ? `Tried ${times(attempts)}, again ${inTime(next)}` : 'Waits to be sent'),
};
export const STATES = Object.keys(HOW_IT_IS);

const times = (count) => (count === 1 ? 'once' : `${count} times`);

export const eventName = (type) => EVENTS[type] ?? type;

export const eventNames = (types) => (types ? types.map(eventName).join(', ') : 'All events');

export const leastName = (severity) => LEAST[severity ?? ''] ?? severity;

/** `{ what, how, why }` of a delivery; why may be empty. */
export function deliveryText(delivery) {
  const { type, state, last_error: fault, last_status: status } = delivery;
  return {
    what: eventName(type),
    how: `${HOW_IT_IS[state]?.(delivery) ?? state}.`,
    why: fault ? (FAULTS[fault] ?? fault).replace('{status}', status) : '',
  };
}
