// The wire between one keytool and PostgreSQL, statement by statement: what it counts it can end at.
import { connect, createServer } from "node:net";

import { listen } from "../../stack/listen.mjs";

/** Messages that end a step: the start, the password, and Sync, before which a whole statement travels. */
const STEPS = new Set(["startup", "p", "S", "Q", "X"]);
const TAIL = 64;

/**
 * `end` is `{ step, when }`: at the so-manieth step, `when` it has not yet been sent ("before"), has been ("after"), or has been
 * answered, which the client does not get to see ("answered"); then `onEnd()` is called. `delay` milliseconds pass before each
 * step goes on. `nonces` takes all that is sent. Returns `{ url, steps(), stop() }`.
 */
export async function startWire(databaseUrl, { end, onEnd, delay = 0, nonces }) {
  const target = new URL(databaseUrl);
  const sockets = new Set();
  let steps = 0;
  let over = false;
  const finish = () => {
    if (over) return;
    over = true;
    onEnd();
  };

  const server = createServer((client) => {
    const upstream = connect({ host: target.hostname, port: Number(target.port), noDelay: true });
    client.setNoDelay(true);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => sockets.delete(socket));
    }
    // The server goes on with what it has got: a client that is gone takes nothing back.
    client.once("close", () => upstream.end());
    upstream.once("close", () => client.destroy());

    const framer = new Framer();
    let ending = false;
    let chain = Promise.resolve();
    let tail = "";
    const send = async (bytes) => {
      if (over || ending) return;
      steps += 1;
      const isLast = end?.step === steps;
      if (isLast && end.when === "before") return finish();
      if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
      if (nonces) {
        const text = tail + bytes.toString("latin1");
        nonces.take(text);
        tail = text.slice(-TAIL);
      }
      if (isLast) ending = true;
      upstream.write(bytes, () => isLast && end.when === "after" && finish());
      // Nothing answers a goodbye.
      if (isLast && framer.last === "X") finish();
    };
    client.on("data", (chunk) => {
      for (const step of framer.take(chunk)) chain = chain.then(() => send(step));
    });
    upstream.on("data", (chunk) => (ending ? finish() : client.write(chunk)));
  });
  const port = new URL(await listen(server)).port;
  const url = new URL(databaseUrl);
  url.port = port;
  return {
    url: url.href,
    steps: () => steps,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Cuts what a client sends into steps: PostgreSQL's messages are a type, a length and a body; the first has no type. */
class Framer {
  #rest = Buffer.alloc(0);
  #from = 0;
  #started = false;
  last = undefined;

  take(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const steps = [];
    for (;;) {
      const head = this.#started ? 1 : 0;
      if (this.#rest.length < this.#from + head + 4) return steps;
      const type = this.#started ? String.fromCharCode(this.#rest[this.#from]) : "startup";
      const end = this.#from + head + this.#rest.readUInt32BE(this.#from + head);
      if (this.#rest.length < end) return steps;
      this.#started = true;
      this.#from = end;
      if (!STEPS.has(type)) continue;
      this.last = type;
      steps.push(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
      this.#from = 0;
    }
  }
}
