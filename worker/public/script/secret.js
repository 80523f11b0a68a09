/** A webhook's secret, which is shown once: it is in the field of a dialog, and goes with it. */
import { $, clear, openDialog } from './view.js';
import { moment } from './words.js';

/** Shows the secret of a webhook that was made, or has a new one: then the one before signs for a while as well. */
export function showSecret({ secret, previous_secret_ends_at: until }, opener) {
  $('secret-text').textContent = 'Your server verifies with it that what it gets comes from here. Keep it now: it is shown this once.'
    + (until ? ` The one before signs too until ${moment(until)}; change to this one by then.` : '');
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
    // Not by a page without https, nor where the user does not permit it.
    field.select();
    $('secret-copied').textContent = 'The browser does not let this page copy. It is selected: copy it yourself.';
  }
}
