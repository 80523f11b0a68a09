// Waiting for what happens elsewhere: no longer than it takes, and never for ever.
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 20;
const DEADLINE_MS = 10_000;

/** Asks until the answer is truthy, and returns it; `what` says in the error what did not come about. */
export async function until(what, ask, deadline = DEADLINE_MS) {
  const end = Date.now() + deadline;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${deadline / 1000} s`);
    await delay(POLL_MS);
  }
}
