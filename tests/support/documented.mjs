// The commands of a page, as it prints them: what a reader types is what a test runs.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The blocks of ```bash under a heading of a page, up to the next one of its level: `[{ heading, text }]` with the nearest heading of each. */
export function commandsUnder(page, heading) {
  const lines = readFileSync(`${ROOT}/${page}`, "utf8").split("\n");
  const level = /^#+/.exec(heading)[0].length;
  const first = lines.indexOf(heading);
  if (first < 0) throw new Error(`${page} has no ${heading}`);
  const blocks = [];
  let [nearest, block] = [heading, undefined];
  for (const line of lines.slice(first + 1)) {
    const own = block === undefined && /^(#+) /.exec(line)?.[1].length;
    if (own && own <= level) break;
    if (own) nearest = line;
    if (line === "```bash") block = [];
    else if (line === "```" && block) {
      blocks.push({ heading: nearest, text: block.join("\n") });
      block = undefined;
    } else block?.push(line);
  }
  if (blocks.length === 0) throw new Error(`${page} has no commands under ${heading}`);
  return blocks;
}
