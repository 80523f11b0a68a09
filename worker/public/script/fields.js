/** The fields of credentials that a user enters, as an entry of the catalogue lists them. */
import { element, mark } from './view.js';

export const inputsIn = (container) => [...container.querySelectorAll('input')];

export function renderField(field) {
  const id = `credential-${field.name}`;
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

/** The values by name; undefined if a field is empty. It is marked then, and has the focus. */
export function readFields(inputs) {
  for (const input of inputs) mark(input, input.value.trim() ? '' : 'This field is required.');
  const missing = inputs.find((input) => input.ariaInvalid);
  if (!missing) return Object.fromEntries(inputs.map(({ name, value }) => [name, value]));
  missing.focus();
  return undefined;
}

/** Marks the field that a failure names, and returns whether it names one. */
export function markFailure(failure, inputs) {
  const [, name, text] = failure.code === 'invalid_fields' ? failure.apiMessage.match(/^fields\.(\w+) (.+)$/) ?? [] : [];
  const field = inputs.find((input) => input.name === name);
  if (!field) return false;
  mark(field, `This ${text}.`);
  field.focus();
  return true;
}
