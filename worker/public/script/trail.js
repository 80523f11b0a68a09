/** An integration's events, newest first. */
import { paged } from './pages.js';
import { resource } from './requests.js';
import { state } from './session.js';
import { element, fillTime } from './view.js';
import { actorName, eventText } from './words.js';

/** Outcomes that are shown as problems. */
const BAD = ['failed', 'reconnect_required', 'revoked', 'degraded'];

export const { reset: resetTrail, open: openTrail, more: loadMoreEvents } = paged({
  name: 'trail',
  title: 'activity-title',
  path: (id) => resource('integrations', id, 'events'),
  key: 'events',
  render: renderEvent,
});

function renderEvent(event) {
  const { what, why } = eventText(event);
  const time = element('time');
  fillTime(time, event.occurred_at);
  const by = element('p', 'fine', `${actorName(event, state.user.id)} · `, time);
  if (event.request_id) by.append(' · ', element('span', 'request-id', event.request_id));
  const item = element('li', '', element('p', 'event-what', what));
  if (why) item.append(element('p', 'event-why', why));
  item.append(by);
  if (BAD.includes(event.outcome)) item.classList.add('bad');
  return item;
}
