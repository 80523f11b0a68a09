// A provider whose accounts change, and which fails in every way that it can. It remembers what it has really answered.
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

import { recordedReads } from "../../stack/recorded-reads.mjs";
import { listen } from "../../stack/listen.mjs";

/** How often a request fails while nothing is calm. */
const CHANCE = 0.06;
/** How often an answer that is judged lacks the value that matters: often enough that a run of seconds sees a check which passes without it. */
const VALUE_CHANCE = 0.15;
const BUCKETS = ["one", "two", "three", "four"];

const json = (status, body, headers = {}) => ({ response }) =>
  void response.writeHead(status, { "content-type": "application/json", ...headers }).end(typeof body === "string" ? body : JSON.stringify(body));

const FAULTS = {
  "500": json(500, { message: "Internal server error" }),
  "401": json(401, { message: "Unauthorized" }),
  "403": json(403, { message: "Forbidden" }),
  "404": json(404, { message: "Not found" }),
  "429": json(429, { message: "Too many requests" }, { "retry-after": "1" }),
  "HTML": ({ response }) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>maintenance</html>"),
  "an error with 200": json(200, { error: "internal" }),
  // An empty list would be an answer like any other.
  "another shape": json(200, '"maintenance"'),
  "half an answer": ({ response, body }) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": String(body.length + 10) });
    response.write(body.slice(0, body.length / 2), () => response.destroy());
  },
  "nothing": ({ response }) => void response.destroy(),
  "late": async ({ response, body }) => {
    await delay(3000);
    response.writeHead(200, { "content-type": "application/json" }).end(body);
  },
};

/** Starts it: `{ url, answered, truthOf(account), change(account), calm(), stop() }`. `answered` is `[{ account, read, at, value }]`. */
export async function startProvider({ random, report }) {
  const recorded = recordedReads(["supabase"]);
  const truths = new Map();
  const answered = [];
  let isCalm = false;

  const truthOf = (account) => {
    if (!truths.has(account)) truths.set(account, { ssl: true, buckets: { one: false } });
    return truths.get(account);
  };
  const change = (account) => {
    const truth = truthOf(account);
    truth.ssl = random.next() < 0.5;
    // Absent, private or public.
    truth.buckets = Object.fromEntries(BUCKETS.filter(() => random.next() < 0.6).map((id) => [id, random.next() < 0.5]));
    report.count("changes of an account");
  };

  const answerOf = (request) => {
    const [, account, read] = /^\/v1\/projects\/([a-z]{20})\/(ssl-enforcement|storage\/buckets)$/.exec(request.url) ?? [];
    const truth = account && truthOf(account);
    if (read === "ssl-enforcement") {
      const body = (currentConfig) => JSON.stringify({ currentConfig, appliedSuccessfully: true });
      return { account, read: "ssl", value: truth.ssl, body: body({ database: truth.ssl }), valueless: body({}) };
    }
    if (read === "storage/buckets") {
      const list = Object.entries(truth.buckets).map(([id, isPublic]) => ({ id, name: `Bucket ${id}`, public: isPublic }));
      const valueless = list.length > 0 ? JSON.stringify(list.map(({ id, name }) => ({ id, name }))) : undefined;
      return { account, read: "buckets", value: { ...truth.buckets }, body: JSON.stringify(list), valueless };
    }
    const { status, body } = recorded(request.method, request.url) ?? { status: 404, body: "{}" };
    return { status, body };
  };

  const server = createServer(async (request, response) => {
    request.resume();
    report.count("requests");
    await delay(random.between(0, 10));
    const { account, read, value, status = 200, body, valueless } = answerOf(request);
    if (valueless && !isCalm && random.next() < VALUE_CHANCE) {
      report.count("answers without the value");
      return json(200, valueless)({ response });
    }
    const isFaulty = !isCalm && random.next() < CHANCE;
    if (isFaulty) {
      const kind = random.pick(Object.keys(FAULTS));
      report.count(`faults of the provider`);
      // Half of it was never read by anybody; what comes late may be.
      if (read && kind === "late") answered.push({ account, read, at: Date.now(), value });
      return FAULTS[kind]({ response, body });
    }
    if (read) answered.push({ account, read, at: Date.now(), value });
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  });
  server.on("clientError", (_, socket) => socket.destroy());
  const url = await listen(server);
  return {
    url,
    answered,
    truthOf,
    change,
    calm: () => void (isCalm = true),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
