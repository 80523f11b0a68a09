/** The schedule of automatic checks: a few common choices, or any cron expression. */
import { $, mark } from './view.js';
import { sentence } from './words.js';

/**
 * The choices by the name of their option. Each integration has its own minute: if all were checked on the hour, they would exhaust the
 * provider's rate limit together.
 */
function choices(id) {
  const mix = Number.parseInt(id.slice(0, 8), 16);
  const [minute, hour, day] = [mix % 60, (mix >>> 8) % 24, (mix >>> 16) % 7];
  return {
    never: null,
    hourly: `${minute} * * * *`,
    daily: `${minute} ${hour} * * *`,
    weekly: `${minute} ${hour} * * ${day}`,
  };
}

let offered = {};

export function showSchedule({ id, scan_schedule: schedule }) {
  offered = choices(id);
  $('schedule').value = Object.keys(offered).find((name) => offered[name] === schedule) ?? 'own';
  $('schedule-expression').value = schedule ?? '';
  mark($('schedule-expression'));
  showExpression();
}

/** Handles another choice. A custom expression starts from the previous choice. */
export function chooseSchedule() {
  const expression = offered[$('schedule').value];
  if (expression !== undefined) $('schedule-expression').value = expression ?? '';
  mark($('schedule-expression'));
  showExpression();
}

const showExpression = () => { $('schedule-own').hidden = $('schedule').value !== 'own'; };

/** The chosen schedule; null for none. */
export const chosenSchedule = () => ($('schedule').value === 'own' ? $('schedule-expression').value.trim() : offered[$('schedule').value]);

export function refuseSchedule({ apiMessage }) {
  mark($('schedule-expression'), sentence(apiMessage.replace(/^scan_schedule:? /, '')));
  $('schedule-expression').focus();
}
