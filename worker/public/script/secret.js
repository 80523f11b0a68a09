/** A webhook's secret, shown once. It is only in the dialog's field, which is emptied when the dialog closes. */
import { $, clear, openDialog } from './view.js';
import { moment } from './words.js';

/** Shows the secret of a new webhook, or a webhook's new secret, while the previous one still signs. */
export function showSecret({ secret, previous_secret_ends_at: until }, opener) {
  $('secret-text').textContent = 'Your server uses it to verify that events come from here. Copy it now: it is shown only once.'
    + (until ? ` The previous secret also signs until ${moment(until)}; switch to this one before then.` : '');
  $('secret-value').value = secret;
  clear($('secret-copied'));
  openDialog($('secret'), opener, () => {
    $('secret-value').value = '';
    clear($('secret-copied'));
  });
  $('secret-copy').focus();
}

export async function copySecret() {
  const field = $('secret-value');
  try {
    await navigator.clipboard.writeText(field.value);
    $('secret-copied').textContent = 'Copied.';
  } catch {
    // A page without https cannot copy, nor one that the user does not permit to.
    field.select();
    $('secret-copied').textContent = 'The browser does not let this page copy. The secret is selected: copy it yourself.';
  }
}
