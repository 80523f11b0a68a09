/**
 * Connecting an account with credentials from the provider, and replacing them. What the user types is only in the dialog's fields, which
 * are removed with it.
 */
import { renewSubmit, settle } from './dialog.js';
import { inputsIn, markFailure, readFields, renderField } from './fields.js';
import { api, ask, resource } from './requests.js';
import { fail, provider, providerName, state } from './session.js';
import { $, addressOf, render, clear, element, go, mark, notify, whileBusy, openDialog } from './view.js';

/** The question that the dialog shows: `{ label, busy, send }`. `send(fields)` returns what to do after the dialog has closed. */
let asked = null;

const inputs = () => inputsIn($('credentials-fields'));

export function askCredentials({ integration_type: type, name, fields }, opener) {
  open(fields, opener, {
    title: `Connect ${name}`,
    lead: `${name} checks the credentials before they are stored. They are encrypted, and never shown again.`,
    label: 'Connect',
    busy: `Checking with ${name}…`,
    isNamed: true,
    async send(given) {
      const called = $('credentials-name').value.trim();
      const request = { integration_type: type, organization_id: state.organization, ...(called && { name: called }), fields: given };
      const { status, answer } = await ask('POST', '/api/integrations', request);
      const text = status === 201
        ? `${answer.name} is connected.`
        : `${answer.name} was already connected. It now uses these credentials.`;
      return async () => {
        await go(addressOf({ connected: answer.id }), { replace: true });
        if (state.user) notify('success', text);
      };
    },
  });
}

/** Asks for new credentials of an integration. They must belong to the same account. */
export function askReplacement({ id, name, integration_type: type }, opener) {
  const called = providerName(type);
  open(provider(type).fields, opener, {
    title: `Replace the credentials of ${name}`,
    lead: `They must belong to the same account. ${called} checks them before they are stored.`,
    label: 'Replace',
    busy: `Checking with ${called}…`,
    isNamed: false,
    async send(given) {
      await api('PUT', resource('integrations', id, 'credentials'), { fields: given });
      return async () => {
        await render();
        if (state.user) notify('success', `${name} now uses these credentials.`);
      };
    },
  });
}

function open(fields, opener, question) {
  asked = question;
  $('credentials-title').textContent = question.title;
  $('credentials-lead').textContent = question.lead;
  renewSubmit('credentials-submit', question.label);
  $('credentials-name-field').hidden = !question.isNamed;
  mark($('credentials-name'));
  clear($('credentials-error'));
  $('credentials-fields').replaceChildren(...fields.map(renderField));
  openDialog($('credentials'), opener, emptyFields);
  inputs()[0].focus();
}

function emptyFields() {
  asked = null;
  for (const input of [...inputs(), $('credentials-name')]) input.value = '';
  clear($('credentials-fields'));
}

export function submitCredentials(event) {
  event.preventDefault();
  const question = asked;
  const isAsked = () => asked === question;
  mark($('credentials-name'));
  clear($('credentials-error'));
  const given = readFields(inputs());
  if (!given) return undefined;
  return whileBusy($('credentials-submit'), question.busy, () => settle($('credentials'), isAsked, () => question.send(given), refuse));
}

/** Shows an error at its field, or above the fields if it concerns none of them. */
function refuse(failure) {
  if (markFailure(failure, inputs())) return undefined;
  if (failure.code !== 'name_taken') return fail(failure, undefined, $('credentials-error'));
  mark($('credentials-name'), failure.message);
  return $('credentials-name').focus();
}
