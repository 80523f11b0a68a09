// The stack that this run of the tests shares. `cargo xtask test` starts it, and names its description in STACK_JSON.
import { readFileSync } from "node:fs";

let description;

/** What tests/stack/stack.mjs says of the running stack. */
export function stack() {
  const file = process.env.STACK_JSON;
  if (!file) throw new Error("STACK_JSON is not set: run `cargo xtask test`, or point it at the stack.json of a running stack");
  description ??= JSON.parse(readFileSync(file, "utf8"));
  return description;
}
