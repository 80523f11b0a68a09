/**
 * Connecting an account with credentials that the user has at the provider, and giving others in their place. What is typed stays in the
 * fields of the dialog, and the fields go with it.
 */
import { renewSubmit, settle } from './dialog.js';
import { api, ask, resource } from './requests.js';
import { fail, provider, providerName, state } from './session.js';
import { $, addressOf, arrive, clear, element, go, mark, notify, once, openDialog } from './view.js';

/** What the dialog is open for: `{ label, busy, send }`; `send(fields)` answers what is to be done once the dialog is gone. */
let asked = null;

const idOf = ({ name }) => `credential-${name}`;
const inputs = () => [...$('credentials-fields').querySelectorAll('input')];

export function askCredentials({ integration_type: type, name, fields }, opener) {
  open(fields, opener, {
    title: `Connect ${name}`,
    lead: `${name} is asked before anything is stored. What you give is encrypted, and never shown again.`,
    label: 'Connect',
    busy: `Asking ${name}…`,
    isNamed: true,
    async send(given) {
      const called = $('credentials-name').value.trim();
      const request = { integration_type: type, organization_id: state.organization, ...(called && { name: called }), fields: given };
      const { status, answer } = await ask('POST', '/api/integrations', request);
      const text = status === 201
        ? `${answer.name} is connected.`
        : `${answer.name} was connected already. It has these credentials now.`;
      return async () => {
        await go(addressOf({ connected: answer.id }), { replace: true });
        if (state.user) notify('success', text);
      };
    },
  });
}

/** Asks for others in place of those of an integration, which must be of the same account. */
export function askReplacement({ id, name, integration_type: type }, opener) {
  const called = providerName(type);
  open(provider(type).fields, opener, {
    title: `Replace the credentials of ${name}`,
    lead: `They must be of the same account. ${called} is asked before anything is stored.`,
    label: 'Replace',
    busy: `Asking ${called}…`,
    isNamed: false,
    async send(given) {
      await api('PUT', resource('integrations', id, 'credentials'), { fields: given });
      return async () => {
        await arrive();
        if (state.user) notify('success', `${name} has these credentials now.`);
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
  openDialog($('credentials'), opener, forget);
  inputs()[0].focus();
}

/** Nothing that was typed outlives the dialog. */
function forget() {
  asked = null;
  for (const input of [...inputs(), $('credentials-name')]) input.value = '';
  clear($('credentials-fields'));
}

function renderField(field) {
  const id = idOf(field);
  const input = element('input');
  Object.assign(input, { id, name: field.name, type: field.secret ? 'password' : 'text', autocomplete: 'off', autocapitalize: 'none', spellcheck: false });
  const label = element('label', '', field.label);
  label.htmlFor = id;
  const help = element('p', 'fine', field.help ?? '');
  help.id = `${id}-help`;
  help.hidden = !field.help;
  const error = element('p', 'field-error');
  error.id = `${id}-error`;
  error.role = 'alert';
  input.setAttribute('aria-describedby', `${help.id} ${error.id}`);
  return element('div', 'field', label, input, help, error);
}

export function submitCredentials(event) {
  event.preventDefault();
  const question = asked;
  const isAsked = () => asked === question;
  for (const input of inputs()) mark(input, input.value.trim() ? '' : 'This is needed.');
  mark($('credentials-name'));
  clear($('credentials-error'));
  const missing = inputs().find((input) => input.ariaInvalid);
  if (missing) return missing.focus();
  const given = Object.fromEntries(inputs().map(({ name, value }) => [name, value]));
  return once($('credentials-submit'), question.busy, () => settle($('credentials'), isAsked, () => question.send(given), refuse));
}

/** Says what is wrong at the field that it is about; what is about none, above them. */
function refuse(failure) {
  const [, name, text] = failure.code === 'invalid_fields' ? failure.said.match(/^fields\.(\w+) (.+)$/) ?? [] : [];
  const field = failure.code === 'name_taken' ? $('credentials-name') : inputs().find((input) => input.name === name);
  if (!field) return fail(failure, undefined, $('credentials-error'));
  mark(field, name ? `This ${text}.` : failure.message);
  field.focus();
}
