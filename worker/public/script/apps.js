/** OAuth apps of the organization's own. A client secret is in the dialog's field only, which is emptied when the dialog closes. */
import { confirm } from './confirm.js';
import { renewSubmit, settle } from './dialog.js';
import { api, resource } from './requests.js';
import { fail, showLoadFailure, showOrganizations, state } from './session.js';
import { $, actionButton, clear, element, mark, notify, openDialog, show, showPart, viewGuard, whileBusy } from './view.js';

/** The types that an app can be added for. */
let types = [];
/** The question that the dialog shows. */
let asked = null;

export const loadApps = () => api('GET', `/api/oauth-apps?${new URLSearchParams({ organization_id: state.organization })}`);

export function openApps() {
  showOrganizations(true);
  show('apps');
  return load();
}

const showRows = (part) => showPart('apps', ['apps-loading', 'apps-failed', 'apps-empty', 'app-rows'], part);

async function load() {
  const here = viewGuard();
  showRows('apps-loading');
  try {
    const answer = await loadApps();
    if (!here()) return;
    ({ types } = answer);
    $('app-rows').replaceChildren(...answer.oauth_apps.map(renderRow));
    showRows(answer.oauth_apps.length > 0 ? 'app-rows' : 'apps-empty');
  } catch (failure) {
    if (here() && showLoadFailure(failure, $('apps-failed'), load)) showRows('apps-failed');
  }
}

const typeName = (type) => types.find(({ integration_type: known }) => known === type)?.name ?? type;

function renderRow(app) {
  const { name, integration_type: type, client_id: client, connections, has_fallback_secret: hasFormer } = app;
  const title = element('span', 'app-name', name);
  title.dir = 'auto';
  const uses = `${connections} ${connections === 1 ? 'connection' : 'connections'}`;
  const about = element('p', 'fine', `${typeName(type)} · ${uses} · client ID `, element('span', 'request-id', client));
  const former = hasFormer ? [element('p', 'fine', 'The former secret is still tried when the provider rejects the new one.')] : [];
  const button = (label, act, style = '') => {
    const made = actionButton(`small ${style}`, label, () => act(app, made));
    made.append(element('span', 'visually-hidden', ` ${name}`));
    return made;
  };
  const actions = element('div', 'actions start for-admins', button('New secret…', askSecret), ...(hasFormer ? [button('Drop former secret…', askDrop)] : []),
    button('Delete…', askDelete, 'danger-outline'));
  return element('li', 'row', element('div', 'row-text', title, about, ...former, actions));
}

/** Loads the list again, whose buttons are new, and says what was done. */
const done = (text) => async () => {
  await load();
  $('apps-title').focus();
  notify('success', text);
};

// The dialog

function ask(question, opener) {
  asked = question;
  $('app-dialog-title').textContent = question.title;
  for (const part of document.querySelectorAll('#app-form [data-new]')) part.hidden = !question.isNew;
  $('app-type').replaceChildren(...types.map(({ integration_type: type, name }) => new Option(name, type)));
  for (const field of fields()) field.value = '';
  for (const field of fields()) mark(field);
  clear($('app-error'));
  showType();
  renewSubmit('app-submit', question.label);
  openDialog($('app'), opener, () => {
    asked = null;
    for (const field of fields()) field.value = '';
  });
}

const fields = () => ['app-name', 'app-client', 'app-slug', 'app-secret'].map($);

/** Shows what to register at the provider, and the field for the part of its URLs that names the app, where it has one. */
export function showType() {
  const type = types.find(({ integration_type: known }) => known === $('app-type').value);
  $('app-redirect').textContent = type?.redirect_uri ?? '';
  $('app-slug-field').hidden = !asked?.isNew || !type?.needs_slug;
}

export function submitApp(event) {
  event.preventDefault();
  const shown = fields().filter((field) => !field.closest('[hidden]'));
  for (const field of shown) mark(field, field.value.trim() ? '' : 'This field is required.');
  const missing = shown.find((field) => field.ariaInvalid);
  if (missing) return missing.focus();
  clear($('app-error'));
  const question = asked;
  const given = Object.fromEntries(shown.map(({ name, value }) => [name, value.trim()]));
  const work = async () => {
    await question.send(given);
    return done(question.done);
  };
  return whileBusy($('app-submit'), 'Saving…', () =>
    settle($('app'), () => asked === question, work, (failure) => fail(failure, undefined, $('app-error'))));
}

export const addApp = () => ask({
  title: 'Add an OAuth app',
  isNew: true,
  label: 'Add',
  done: 'The OAuth app was added. Accounts can be connected with it from now on.',
  send: (given) => api('POST', '/api/oauth-apps', { organization_id: state.organization, integration_type: $('app-type').value, ...given }),
}, $('app-add'));

const askSecret = ({ id, name }, opener) => ask({
  title: `New secret for ${name}`,
  isNew: false,
  label: 'Save',
  done: 'The secret was changed. The former one is tried when the provider rejects it.',
  send: (given) => api('PATCH', resource('oauth-apps', id), given),
}, opener);

const askDrop = ({ id, name }, opener) => confirm({
  title: `Drop the former secret of ${name}?`,
  text: 'Drop it once you have deleted it at the provider, and connections work with the new one.',
  label: 'Drop',
  busy: 'Dropping…',
  async work() {
    await api('PATCH', resource('oauth-apps', id), { fallback_client_secret: null });
    return done('The former secret was dropped.');
  },
}, opener);

const askDelete = ({ id, name }, opener) => confirm({
  title: `Delete ${name}?`,
  text: 'Its client ID and secrets are deleted here. An app that connections use cannot be deleted.',
  label: 'Delete',
  busy: 'Deleting…',
  async work() {
    try {
      await api('DELETE', resource('oauth-apps', id));
    } catch (failure) {
      if (failure.status !== 404) throw failure;
    }
    return done('The OAuth app was deleted.');
  },
}, opener);
