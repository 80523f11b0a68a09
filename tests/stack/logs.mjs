// Logs of the stack: one file a server, so that a failing test can be read from the server's side.
import { createWriteStream, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** The log file of one server; `pipe` takes a readable stream, `tail` returns its last lines for an error message. */
export function openLog(dir, name) {
  mkdirSync(dir, { recursive: true });
  const file = path.join(dir, `${name}.log`);
  const stream = createWriteStream(file, { flags: "w", mode: 0o600 });
  return {
    file,
    pipe: (readable) => readable.pipe(stream, { end: false }),
    tail: (lines = 15) => readFileSync(file, "utf8").trimEnd().split("\n").slice(-lines).join("\n"),
  };
}
