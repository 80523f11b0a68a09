/** The security checks of one integration: the last run, the findings, what could not be checked, and a chart of the runs. */
import { reconnect, reconnectLabel } from './actions.js';
import { openFindings, outward, renderMute } from './findings.js';
import { api, resource } from './requests.js';
import { chartLegend, runChart } from './run-chart.js';
import { counts, gapText, OUTCOMES, remedyText, RUN_STATES, runText, unseenText } from './security-words.js';
import { fail, providerName, showFailed, showOrganizations, state } from './session.js';
import { $, actionButton, addressOf, clear, clearNotices, element, fillTime, go, link, notify, whileBusy, show, viewGuard } from './view.js';

/** The number of runs in the chart. */
const RUNS = 20;
/** How often the page asks for a running scan, and for how long, in milliseconds. */
const [POLL, POLL_END] = [2000, 10 * 60_000];

/** What is shown. */
let integration = null;
/** The checks of its type, by id. */
let known = new Map();
/** Its organization. */
let organization = null;

const runsOf = (id, limit) => api('GET', `/api/assessments?${new URLSearchParams({ integration_id: id, limit })}`);

export async function openSecurity(id) {
  show('loading');
  const here = viewGuard();
  try {
    const [found, coverage, { assessments }] = await Promise.all([
      api('GET', resource('integrations', id)), api('GET', resource('integrations', id, 'coverage')), runsOf(id, RUNS),
    ]);
    const catalogue = await api('GET', `/api/checks?${new URLSearchParams({ integration_type: found.integration_type })}`);
    if (!here()) return;
    known = new Map(catalogue.checks.map((check) => [check.id, check]));
    integration = found;
    organization = assessments[0]?.organization_id ?? state.organization;
    $('findings-state').value = 'open';
    $('findings-severity').value = '';
    link($('security-back'), { integration: id });
    $('security-back-name').textContent = found.name;
    $('security-lead').textContent = `${found.name}, ${providerName(found.integration_type)}`;
    renderRuns(assessments);
    renderCoverage(coverage);
    renderExports(id);
    showOrganizations(false);
    show('security');
    // Not awaited: the focus moves to the title when this function ends.
    openFindings(id, assessments.some(({ results }) => results), reload);
    loadMutes();
    if (assessments[0] && assessments[0].state !== 'done') watch(assessments[0].id);
  } catch (failure) {
    if (!here()) return;
    if (![400, 404, 409].includes(failure.status)) return showFailed(failure, () => openSecurity(id));
    await go(addressOf(failure.status === 409 ? { integration: id } : {}), { replace: true });
    notify('warning', failure.status === 409 ? failure.message : 'That integration no longer exists.');
  }
}

/** Loads everything again. If the focused element was removed, the findings get the focus. */
async function reload() {
  const here = viewGuard();
  const { id } = integration;
  const [coverage, { assessments }] = await Promise.all([api('GET', resource('integrations', id, 'coverage')), runsOf(id, RUNS)]);
  if (!here()) return;
  renderRuns(assessments);
  renderCoverage(coverage);
  await Promise.all([openFindings(id, assessments.some(({ results }) => results), reload), loadMutes()]);
  if (document.activeElement === document.body) $('findings-title').focus();
}

function renderRuns(runs) {
  const last = runs.find(({ results }) => results);
  fillTime($('last-when'), last?.finished_at, { otherwise: 'Not yet' });
  const facts = last ? counts(last.results) : [];
  $('last-counts').replaceChildren(...facts.map(([name, count, total]) =>
    element('div', '', element('dt', '', name), element('dd', '', element('strong', 'count', String(count)), ` of ${total}`))));
  const [newest] = runs;
  const notes = [];
  if (newest && newest.outcome === 'not_run') notes.push(`The latest scan did not run. ${gapText(newest.reason)}`);
  if (last?.outcome === 'incomplete') notes.push(`${OUTCOMES.incomplete}: ${gapText(last.reason)}`);
  if (!last && notes.length === 0) notes.push('This account has not been scanned yet.');
  $('last-note').textContent = notes.join(' ');
  $('runs').hidden = runs.length === 0;
  if (runs.length === 0) return;
  $('runs-chart').replaceChildren(runChart(runs), chartLegend());
  $('runs-list').replaceChildren(...runs.map((run) => {
    const time = element('time');
    fillTime(time, run.finished_at ?? run.queued_at);
    return element('li', '', time, ` · ${runText(run)}`);
  }));
}

// What could not be checked, and how to change that

function renderCoverage({ checks, missing_scopes: scopes, remedy }) {
  const unseen = checks.filter(({ status, last }) => status === 'missing' || last?.status === 'unknown');
  const manual = checks.filter(({ status }) => status === 'manual');
  $('unseen').hidden = unseen.length === 0;
  $('unseen-lead').textContent = `${unseen.length} of ${checks.length} checks could not be judged. None of them counts as passed.`;
  $('unseen-list').replaceChildren(...unseen.map(({ title, missing, last }) => {
    const reason = last?.status === 'unknown' ? last.reason : 'no_scope';
    const how = missing.length > 0 ? `It needs ${missing.join(', ')}.` : remedyText(reason);
    return element('li', '', element('p', 'event-what', title), element('p', 'event-why', `${unseenText(reason)} ${how}`));
  }));
  clear($('unseen-remedy'));
  if (remedy) {
    const type = integration.integration_type;
    const first = remedy.add_scopes_first
      ? `First the operator of this service must add ${scopes.join(', ')} to the app at ${providerName(type)}; then reconnect.`
      : `The access needs ${scopes.join(', ')}.`;
    const button = actionButton('', reconnectLabel(type), () => reconnect(integration, button, { security: integration.id }));
    $('unseen-remedy').append(element('p', '', first), element('div', 'actions start', button));
  }
  $('manual').hidden = manual.length === 0;
  $('manual-list').replaceChildren(...manual.map(({ id, title }) => {
    const { why, remediation } = known.get(id) ?? {};
    const item = element('li', '', element('p', 'event-what', title));
    if (why) item.append(element('p', 'event-why', why));
    if (remediation) item.append(element('p', 'event-why', remediation.text, ...outward(remediation.url)));
    return item;
  }));
}

async function loadMutes() {
  const here = viewGuard();
  const { id } = integration;
  const query = new URLSearchParams({ active: 'true', limit: 200, organization_id: organization });
  try {
    const { mutes, next_cursor: more } = await api('GET', `/api/mutes?${query}`);
    if (!here()) return;
    const own = mutes.filter(({ integration_id: of }) => of === null || of === id);
    $('mutes').hidden = own.length === 0;
    $('mutes-list').replaceChildren(...own.map((mute) => element('li', '', renderMute(mute))));
    $('mutes-more').hidden = !more;
  } catch (failure) {
    if (here()) fail(failure, loadMutes);
  }
}

function renderExports(id) {
  $('exports').replaceChildren(...Object.entries({ csv: 'CSV', sarif: 'SARIF', ocsf: 'OCSF', json: 'JSON' }).map(([format, name]) => {
    const made = element('a', 'button small', name);
    made.href = `/api/export?${new URLSearchParams({ integration_id: id, format })}`;
    made.download = '';
    return made;
  }));
}

// Scanning now

export const scanNow = () => whileBusy($('scan'), 'Asking…', async () => {
  const here = viewGuard();
  clearNotices();
  try {
    const { id } = await api('POST', resource('integrations', integration.id, 'assessments'), {});
    if (here()) watch(id);
  } catch (failure) {
    if (here()) fail(failure, scanNow);
  }
});

let watched = null;

/** Polls a run until it ends, the user leaves, or the time is up. */
async function watch(id) {
  if (watched === id) return;
  watched = id;
  const here = viewGuard();
  const end = Date.now() + POLL_END;
  showProgress('queued');
  try {
    while (here() && Date.now() < end) {
      const run = await api('GET', resource('assessments', id));
      if (!here()) return;
      if (run.state === 'done') {
        showProgress(null);
        await reload();
        if (here()) notify(run.outcome === 'complete' ? 'success' : 'warning', `The scan has ended. ${runText(run)}`);
        return;
      }
      showProgress(run.state);
      await new Promise((resolve) => { setTimeout(resolve, POLL); });
    }
    if (here()) showProgress(null, 'The scan is still running. Reload this page later to see the result.');
  } catch (failure) {
    if (!here()) return;
    showProgress(null);
    fail(failure, () => watch(id));
  } finally {
    if (watched === id) watched = null;
  }
}

/** Shows a run's state. The text changes only with the state, so that it is announced once. */
function showProgress(state, otherwise = '') {
  const text = state ? RUN_STATES[state] ?? state : otherwise;
  $('scan-bar').hidden = !state;
  $('scan').hidden = Boolean(state);
  if ($('scan-progress').textContent !== text) $('scan-progress').textContent = text;
}

// In an integration's details

/** Shows its last run in a sentence. */
export async function showLastRun({ id, integration_type: type }) {
  const here = viewGuard();
  $('details-security').hidden = true;
  try {
    const { checks } = await api('GET', `/api/checks?${new URLSearchParams({ integration_type: type })}`);
    if (!here() || checks.length === 0) return;
    const { assessments: runs } = await runsOf(id, 5);
    if (!here()) return;
    const last = runs.find(({ results }) => results);
    $('details-security-text').textContent = last ? runText(last) : `Not scanned yet. There are ${checks.length} checks.`;
    fillTime($('details-security-when'), last?.finished_at, { otherwise: '' });
    link($('details-security-link'), { security: id });
    $('details-security').hidden = false;
  } catch {
    // The rest of the page works without it.
  }
}
