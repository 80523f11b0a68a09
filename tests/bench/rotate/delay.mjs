// A link that takes its time: what comes in goes on after half a round trip, however much is on its way.
import { connect, createServer } from "node:net";

import { listen } from "../../stack/listen.mjs";

/** Returns `{ url, stop() }`: the server of the connection string `target`, so many milliseconds there and back away. */
export async function startDelay(target, roundTripMs) {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  const carry = (from, to) => {
    // Timers of one length fire in the order in which they were set.
    from.on("data", (chunk) => setTimeout(() => to.writable && to.write(chunk), roundTripMs / 2));
    from.on("end", () => setTimeout(() => to.end(), roundTripMs / 2));
    from.on("error", () => to.destroy());
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true });
    client.setNoDelay(true);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    }
    carry(client, upstream);
    carry(upstream, client);
  });
  const url = new URL(target);
  url.port = new URL(await listen(server)).port;
  return {
    url: url.href,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
