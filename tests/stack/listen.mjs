// Where servers of the stack listen: loopback only.
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

export const LOOPBACK = "127.0.0.1";
/** Linux gives connections ports from 32768, others from 49152. */
const NEVER_EPHEMERAL = [20_000, 32_000];
/** Processes that run at the same time look in different parts of them, because another one may take a port before the program listens on it. */
const PART = 100;
const FIRST = NEVER_EPHEMERAL[0] + (process.pid % ((NEVER_EPHEMERAL[1] - NEVER_EPHEMERAL[0]) / PART)) * PART;
let next = randomInt(PART);

/** Starts an http.Server on a free port of loopback, or on `port`; resolves to its URL. */
export async function listen(server, port = 0) {
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, LOOPBACK, resolve);
  });
  return `http://${LOOPBACK}:${server.address().port}`;
}

/**
 * A port that nothing listens on, for programs that cannot choose one themselves. It is none of those that the system gives to
 * connections: such a port may be taken again before the program listens on it.
 */
export async function freePort() {
  for (;;) {
    next = (next + 1) % PART;
    const port = FIRST + next;
    if (await isPortFree(port)) return port;
  }
}

/** Whether a server could listen on the port, of either loopback address. */
export async function isPortFree(port) {
  for (const host of [LOOPBACK, "::1"]) {
    const server = createServer();
    const error = await new Promise((resolve) => {
      server.once("error", resolve);
      server.listen(port, host, () => resolve());
    });
    if (!error) await new Promise((resolve) => server.close(resolve));
    // A machine without IPv6 has no ::1 to listen on.
    else if (error.code !== "EADDRNOTAVAIL" && error.code !== "EAFNOSUPPORT") return false;
  }
  return true;
}
