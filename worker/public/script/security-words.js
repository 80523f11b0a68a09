/** The page's words for scans and findings. Pure, like words.js. */
import { capitalized, reasonText, sentence } from './words.js';

/** Severities, most severe first. */
export const SEVERITIES = { critical: 'Critical', high: 'High', medium: 'Medium', low: 'Low', info: 'Info' };

/** Why something could not be checked. */
export const UNSEEN = {
  forbidden: 'The access may not see this.',
  hidden: 'The provider hides this from the access, or it is gone.',
  absent: 'The provider’s answer does not say this.',
  no_scope: 'The access lacks a scope for this.',
  unauthorized: 'The provider no longer accepted the access.',
  limited: 'The provider accepted no more requests.',
  truncated: 'There is more of this than a scan reads.',
  too_large: 'The provider’s answer was too large.',
  provider_failed: 'The provider did not answer.',
  bad_answer: 'The provider’s response could not be read.',
  unavailable: 'The provider could not check this.',
  not_scanned: 'No scan has run yet.',
};

/** What to do about it, unless a scope is missing. */
export const REMEDIES = {
  forbidden: 'Reconnect with a user who may see it.',
  hidden: 'Reconnect with a user who may see it.',
  no_scope: 'Reconnect, so that the access has the scope.',
  unauthorized: 'Reconnect, then scan again.',
  limited: 'Scan again later.',
  provider_failed: 'Scan again later.',
  unavailable: 'Scan again later.',
  not_scanned: 'Scan now.',
};
const NO_REMEDY = 'Check this yourself: a scan cannot.';

/** Why a check does not apply. */
export const INAPPLICABLE = {
  plan: 'The account’s plan does not have this.',
  off: 'This is turned off, or does not exist here.',
  paused: 'The account is paused.',
  empty: 'There is nothing of this kind.',
};

/** Why a run did not run or ended early, in addition to the reasons above and those of a status. */
export const GAPS = {
  not_checked: 'The access was not checked at that time, so nothing was scanned.',
  still_running: 'An earlier scan had not ended.',
  timed_out: 'The scan did not end within a day.',
  scanner_failed: 'The scanner ended early several times.',
  account_replaced: 'Another account was connected while the scan ran.',
};

export const OUTCOMES = { complete: 'Complete', incomplete: 'Incomplete', not_run: 'Did not run' };
export const RUN_STATES = { queued: 'Waiting for the scanner…', running: 'Scanning…' };

export const ENDED = {
  passed: 'Resolved: the check passes.',
  gone: 'Resolved: it is no longer there.',
  check_removed: 'Archived: there is no longer a check for this.',
  account_replaced: 'Archived: another account is connected.',
  disconnected: 'Archived: the integration was disconnected.',
};

/** The events of a finding. */
export const CHANGES = {
  opened: 'Found',
  reopened: 'Found again',
  resolved: 'Resolved',
  archived: 'Archived',
  unverified: 'Could not be checked',
  verified: 'Seen again',
  severity_changed: 'Severity changed',
};

export const CAUSES = {
  configuration: 'The account’s configuration changed.',
  check: 'The check changed.',
  permission: 'What the access may see changed.',
  user: 'A member did it.',
  time: 'Time passed.',
};

export const MUTE_REASONS = {
  accepted_risk: 'We accept the risk',
  false_positive: 'It is a false positive',
  compensating_control: 'Something else protects us',
  wont_fix: 'We will not fix it',
};

export const unseenText = (reason) => UNSEEN[reason] ?? sentence(String(reason ?? 'unknown').replaceAll('_', ' '));
export const remedyText = (reason) => REMEDIES[reason] ?? NO_REMEDY;
export const gapText = (reason) => (reason ? GAPS[reason] ?? UNSEEN[reason] ?? reasonText(reason) : '');
export const severityName = (severity) => SEVERITIES[severity] ?? capitalized(severity);

/** A run's counts, each with the total. */
export const counts = ({ total, passed, failed, unknown, not_applicable: inapplicable }) => [
  ['Passed', passed, total], ['Failed', failed, total], ['Could not be checked', unknown, total], ['Not applicable', inapplicable, total],
];

/** A run in a sentence. */
export function runText({ state, outcome, reason, results }) {
  if (state !== 'done') return RUN_STATES[state] ?? state;
  if (!results) return `${OUTCOMES[outcome] ?? outcome}. ${gapText(reason)}`.trim();
  const { total, passed, failed, unknown, not_applicable: inapplicable } = results;
  const parts = [`${passed} of ${total} passed`, `${failed} failed`, `${unknown} could not be checked`];
  if (inapplicable) parts.push(`${inapplicable} ${inapplicable === 1 ? 'does' : 'do'} not apply`);
  return `${parts.join(', ')}.`;
}

/** `{ what, why }` of a change of a finding; why may be empty. */
export function changeText({ action, cause, reason }) {
  const what = CHANGES[action] ?? capitalized(action.replaceAll('_', ' '));
  if (action === 'unverified') return { what, why: gapText(reason) };
  if (action === 'verified') return { what, why: '' };
  return { what, why: ENDED[reason] ?? CAUSES[cause] ?? '' };
}
