// keytool behind a pooler in transaction mode. Such a pooler gives the server's session to somebody else at every answer, so a call
// that is on its way before the last one was answered may end in another client's session.
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";

import { listen } from "../stack/listen.mjs";
import { A, A_TO_B, assertDone, keytool, startDatabases } from "./support.mjs";

let databases;
before(async () => (databases = await startDatabases()));
after(() => databases?.stop());

/** PostgreSQL's messages: a type, a length and a body. A client's first has no type. */
function eachMessage(isFirstUntyped, seen) {
  let rest = Buffer.alloc(0);
  let head = isFirstUntyped ? 0 : 1;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= head + 4 && rest.length >= head + rest.readUInt32BE(head)) {
      const length = head + rest.readUInt32BE(head);
      seen(head ? String.fromCharCode(rest[0]) : "startup", rest.subarray(head + 4, length));
      rest = rest.subarray(length);
      head = 1;
    }
  };
}

/** Between keytool and the server: the most calls that were ever under way on one connection, and what was named in a session. */
async function watch(databaseUrl) {
  const { hostname, port } = new URL(databaseUrl);
  const seen = { calls: 0, most: 0, named: [] };
  const sockets = new Set();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let open = 0;
    const sent = eachMessage(true, (type, body) => {
      if (type === "P" && body[0] !== 0) seen.named.push("a prepared statement");
      if (type === "Q") seen.named.push("a simple query");
      if (type !== "S") return;
      seen.calls += 1;
      open += 1;
      seen.most = Math.max(seen.most, open);
    });
    // The first answer of the kind ends the sign-in.
    let ready = -1;
    const got = eachMessage(false, (type) => type === "Z" && ready++ >= 0 && open--);
    client.on("data", (chunk) => (sent(chunk), upstream.write(chunk)));
    upstream.on("data", (chunk) => (got(chunk), client.write(chunk)));
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => other.destroy());
    }
  });
  const url = new URL(databaseUrl);
  url.port = new URL(await listen(server)).port;
  const stop = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: url.href, seen, stop };
}

test("a call through a pooler waits for the last one's answer, and leaves nothing in the session", async () => {
  const table = await databases.project();
  await table.insertMany(2000, A);
  const wire = await watch(table.direct.DATABASE_URL);
  try {
    assertDone(await keytool({ ...A_TO_B, DATABASE_URL: wire.url }, "rotate", "--batch", "50", "--complete", "--yes"));
    assertDone(await keytool({ ...A_TO_B, DATABASE_URL: wire.url }, "status"));
  } finally {
    await wire.stop();
  }
  assert.ok(wire.seen.calls > 100, `${wire.seen.calls} calls`);
  assert.deepEqual([wire.seen.most, wire.seen.named], [1, []]);
});
