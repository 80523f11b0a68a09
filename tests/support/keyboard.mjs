// A page by keyboard alone: the Tab key leads to each control, and where the focus is always shows.
import assert from "node:assert/strict";

/** More than anybody needs to come from one end of a page to the other. */
const MOST_TABS = 40;

/** `{ focused(), tabTo(name), press(name, key) }`: a control goes by the text of its label, or its own. */
export function keyboardOf(page) {
  const focused = () =>
    page.evaluate(() => {
      const { activeElement: element } = document;
      const { outlineStyle, boxShadow } = getComputedStyle(element);
      const name = element.labels?.[0]?.textContent ?? element.ariaLabel ?? element.textContent;
      return { tag: element.tagName, name: name.trim().replace(/\s+/g, " "), shows: outlineStyle !== "none" || boxShadow !== "none" };
    });
  const tabTo = async (name) => {
    for (let tabs = 0; tabs < MOST_TABS; tabs++) {
      const at = await focused();
      if (at.name === name) {
        assert.ok(at.shows, `the focus on ${name} must be visible`);
        return;
      }
      await page.keyboard.press("Tab");
    }
    assert.fail(`${name} is not reached by the Tab key; the focus is on ${JSON.stringify(await focused())}`);
  };
  const press = async (name, key = "Enter") => {
    await tabTo(name);
    await page.keyboard.press(key);
  };
  return { focused, tabTo, press };
}
