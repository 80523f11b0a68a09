/** A list in pages, newest first. */
import { api } from './requests.js';
import { fail, showLoadFailure } from './session.js';
import { $, clear, whileBusy, viewGuard } from './view.js';

const PAGE = 10;

const withParameters = (path, parameters) => `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams(parameters)}`;

/**
 * The list `#<name>` with its `-empty`, `-failed`, `-more` and `-more-button`, under the heading `#<title>`. `path(id)` is its API path, `key`
 * the member with the items, and `render` makes an item's element.
 */
export function paged({ name, title, path, key, render }) {
  let at = { id: null, cursor: null };

  const load = (id, cursor) => api('GET', withParameters(path(id), { limit: PAGE, ...(cursor && { cursor }) }));

  function append(id, { [key]: items, next_cursor: cursor }) {
    at = { id, cursor };
    $(name).append(...items.map(render));
    $(`${name}-empty`).hidden = $(name).childElementCount > 0;
    $(`${name}-more`).hidden = !cursor;
  }

  function reset() {
    at = { id: null, cursor: null };
    clear($(name), $(`${name}-failed`));
    for (const part of ['empty', 'more']) $(`${name}-${part}`).hidden = true;
  }

  async function open(id) {
    const here = viewGuard();
    try {
      const page = await load(id);
      if (!here()) return;
      clear($(name), $(`${name}-failed`));
      append(id, page);
    } catch (failure) {
      if (here()) showLoadFailure(failure, $(`${name}-failed`), () => open(id));
    }
  }

  const more = () => whileBusy($(`${name}-more-button`), 'Loading…', async () => {
    const { id, cursor } = at;
    const here = viewGuard();
    try {
      const page = await load(id, cursor);
      if (!here() || at.cursor !== cursor) return;
      append(id, page);
      // The last page hides the button, which would lose the focus.
      if (!page.next_cursor) $(title).focus();
    } catch (failure) {
      if (here()) fail(failure, more);
    }
  });

  return { reset, open, more };
}
