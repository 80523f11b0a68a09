/** When an integration is checked by itself: a few common choices, and any cron expression. */
import { $, mark } from './view.js';
import { sentence } from './words.js';

/**
 * The choices by the name of their option. The moments are the integration's own: if all were checked on the hour, they would use up the
 * provider's limit together.
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

/** Shows the schedule that stands. */
export function showSchedule({ id, scan_schedule: schedule }) {
  offered = choices(id);
  $('schedule').value = Object.keys(offered).find((name) => offered[name] === schedule) ?? 'own';
  $('schedule-expression').value = schedule ?? '';
  mark($('schedule-expression'));
  showExpression();
}

/** Another choice was made. An expression of one's own begins with what was chosen before. */
export function chooseSchedule() {
  const expression = offered[$('schedule').value];
  if (expression !== undefined) $('schedule-expression').value = expression ?? '';
  mark($('schedule-expression'));
  showExpression();
}

const showExpression = () => { $('schedule-own').hidden = $('schedule').value !== 'own'; };

/** The schedule that is to be, null for none. */
export const chosenSchedule = () => ($('schedule').value === 'own' ? $('schedule-expression').value.trim() : offered[$('schedule').value]);

/** Says at the field what is wrong with the expression. */
export function refuseSchedule({ said }) {
  mark($('schedule-expression'), sentence(said.replace(/^scan_schedule:? /, '')));
  $('schedule-expression').focus();
}
