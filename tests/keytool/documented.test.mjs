// Every command of keytool and of xtask that a page names is one that the program knows, with these flags.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { PROGRAM } from "./support.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAGES = globSync(["*.md", "docs/*.md"], { cwd: ROOT }).filter((page) => !page.startsWith("THIRD-PARTY"));

/** The commands of a page, in its blocks and in its prose. */
function commandsOf(page, program) {
  const text = readFileSync(`${ROOT}/${page}`, "utf8").replaceAll("\\\n", " ");
  const blocks = [...text.matchAll(/^```bash\n(.*?)^```/gms)].flatMap(([, block]) => block.split("\n"));
  const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span]) => span).filter((span) => span.startsWith(`${program} `));
  return [...blocks, ...spans].flatMap((line) => {
    const at = line.indexOf(`${program} `);
    // What follows a comment, or is a path, is no call; a call goes on up to where the shell does.
    if (at < 0 || !/^$|[\s($]$/.test(line.slice(0, at)) || line.slice(0, at).includes("#")) return [];
    const words = line.slice(at + program.length + 1).split(/ {2,}|[|<>;&#…"`$)]/)[0].trim();
    return /^(--)?[a-z]/.test(words) ? [words] : [];
  });
}

for (const [program, run] of [
  ["keytool", (args) => spawnSync(PROGRAM, args, { encoding: "utf8", env: {} })],
  ["cargo xtask", (args) => spawnSync("cargo", ["xtask", ...args], { cwd: ROOT, encoding: "utf8" })],
]) {
  test(`every ${program} of the pages is a command that it knows`, () => {
    const commands = new Map(PAGES.flatMap((page) => commandsOf(page, program).map((words) => [words, page])));
    assert.ok(commands.size >= 8, [...commands.keys()].join("\n"));
    for (const [command, page] of commands) {
      const { status, stderr } = run([...command.split(" "), "--help"]);
      // A placeholder is no valid value, and the rest was read all the same.
      if (status !== 0) assert.match(stderr, /error: (invalid value|the following required arguments|a value is required)/, `${page}: ${program} ${command}`);
    }
  });
}
