/** A list that comes in pages, the newest first. */
import { api } from './requests.js';
import { fail, tellFailed } from './session.js';
import { $, clear, once, staying } from './view.js';

const PAGE = 10;

const withParameters = (path, parameters) => `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams(parameters)}`;

/**
 * The list `#<name>` with its `-empty`, `-failed`, `-more` and `-more-button`, under the heading `#<title>`. `path(id)` is where it is asked
 * for, `key` what holds the items in an answer, and `render` makes one's element.
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

  /** Nothing of another one's list is left. */
  function reset() {
    at = { id: null, cursor: null };
    clear($(name), $(`${name}-failed`));
    for (const part of ['empty', 'more']) $(`${name}-${part}`).hidden = true;
  }

  async function open(id) {
    const here = staying();
    try {
      const page = await load(id);
      if (!here()) return;
      clear($(name), $(`${name}-failed`));
      append(id, page);
    } catch (failure) {
      if (here()) tellFailed(failure, $(`${name}-failed`), () => open(id));
    }
  }

  const more = () => once($(`${name}-more-button`), 'Loading…', async () => {
    const { id, cursor } = at;
    const here = staying();
    try {
      const page = await load(id, cursor);
      if (!here() || at.cursor !== cursor) return;
      append(id, page);
      // The button goes with the last page, and the focus must not go with it.
      if (!page.next_cursor) $(title).focus();
    } catch (failure) {
      if (here()) fail(failure, more);
    }
  });

  return { reset, open, more };
}
