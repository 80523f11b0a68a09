/** What happened to an integration's credentials, the newest first. */
import { api, resource } from './requests.js';
import { fail, state } from './session.js';
import { $, clear, element, fillTime, notify, once, staying } from './view.js';
import { actorName, eventText } from './words.js';

const PAGE = 10;
/** Outcomes that are no good news. */
const BAD = ['failed', 'reconnect_required', 'revoked', 'degraded', 'not_revoked'];

let trail = { id: null, cursor: null };

export async function openTrail(id) {
  const here = staying();
  try {
    const page = await load(id);
    if (!here()) return;
    clear($('trail'), $('trail-failed'));
    append(id, page);
  } catch (failure) {
    if (!here()) return;
    if (failure.status === 401) return fail(failure);
    notify('error', failure.message, { region: $('trail-failed'), requestId: failure.requestId, retry: () => openTrail(id) });
  }
}

function load(id, cursor) {
  const query = new URLSearchParams({ limit: PAGE, ...(cursor && { cursor }) });
  return api('GET', `${resource('integrations', id, 'events')}?${query}`);
}

function append(id, { events, next_cursor: cursor }) {
  trail = { id, cursor };
  $('trail').append(...events.map(renderEvent));
  $('trail-more').hidden = !cursor;
}

export const loadMoreEvents = () => once($('trail-more-button'), 'Loading…', async () => {
  const { id, cursor } = trail;
  const here = staying();
  try {
    const page = await load(id, cursor);
    if (!here() || trail.cursor !== cursor) return;
    append(id, page);
    // The button goes with the last page, and the focus must not go with it.
    if (!page.next_cursor) $('activity-title').focus();
  } catch (failure) {
    if (here()) fail(failure, loadMoreEvents);
  }
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
  if (BAD.includes(event.outcome) && !(event.action === 'disconnected' && event.outcome === 'revoked')) item.classList.add('bad');
  return item;
}
