/** The dialog for a mute: a reason, a note and an end. */
import { renewSubmit, settle } from './dialog.js';
import { api } from './requests.js';
import { MUTE_REASONS } from './security-words.js';
import { fail } from './session.js';
import { $, clear, element, mark, notify, whileBusy, openDialog } from './view.js';

const DAY = 86_400_000;
/** Durations by days. */
const LENGTHS = { 7: 'A week', 30: '30 days', 90: '90 days', 180: 'Half a year', 364: 'A year' };

/** What the dialog is open for. */
let asked = null;

/** Asks for a mute of a finding. `done` is called after it was created. */
export function askMute(finding, opener, done) {
  asked = { finding, done };
  $('mute-what').textContent = `${finding.title ?? finding.check_id} · ${finding.resource.name ?? finding.resource.id}`;
  $('mute-reasons').replaceChildren(...Object.entries(MUTE_REASONS).map(([reason, name], i) => {
    const input = Object.assign(element('input'), { type: 'radio', name: 'reason', value: reason, checked: i === 0 });
    return element('label', 'option', input, element('span', '', name));
  }));
  $('mute-until').replaceChildren(...Object.entries(LENGTHS).map(([days, name]) => new Option(name, days)));
  $('mute-until').value = '90';
  $('mute-scope').value = 'resource';
  $('mute-note').value = '';
  clear($('mute-error'));
  mark($('mute-note'));
  renewSubmit('mute-submit', 'Mute');
  openDialog($('mute'), opener, () => { asked = null; });
}

export function submitMute(event) {
  event.preventDefault();
  const note = $('mute-note').value.trim();
  clear($('mute-error'));
  mark($('mute-note'), note.length < 3 ? 'Enter at least three characters.' : '');
  if (note.length < 3) return $('mute-note').focus();
  const question = asked;
  const { finding, done } = question;
  const scope = $('mute-scope').value;
  const body = {
    organization_id: finding.organization_id,
    check_id: finding.check_id,
    ...(scope !== 'organization' && { integration_id: finding.integration_id }),
    ...(scope === 'resource' && { resource_id: finding.resource.id, ...(finding.item && { item: finding.item }) }),
    reason: $('mute-reasons').querySelector(':checked').value,
    note,
    expires_at: new Date(Date.now() + Number($('mute-until').value) * DAY).toISOString(),
  };
  const send = async () => {
    await api('POST', '/api/mutes', body);
    return async () => {
      await done();
      notify('success', 'The finding is muted. It is listed under “Muted” until the mute ends.');
    };
  };
  const refuse = (failure) => fail(failure, undefined, $('mute-error'));
  return whileBusy($('mute-submit'), 'Muting…', () => settle($('mute'), () => asked === question, send, refuse));
}
