// What happens to the worker's calls of the database: they stall, arrive after the worker has given up, lose their answer, or are answered
// with what PostgREST never says.
const HTML = "<!doctype html><title>502 Bad Gateway</title>";
/** So many calls of one kind fail in a row for one user, no more: the worker repeats a write four times, and some only twice. */
const MOST_IN_A_ROW = 1;

const WAYS = {
  "stalls, then arrives": async ({ pass, delay }, random) => {
    await delay(random.between(10_000, 25_000));
    await pass();
  },
  "is done, and its answer stalls": async ({ response, pass, delay }, random) => {
    const end = response.end.bind(response);
    const wait = delay(random.between(10_000, 20_000));
    response.end = (...parts) => void wait.then(() => end(...parts), () => {});
    await pass();
  },
  "is done, and its answer is lost": ({ pass }) => pass({ truncate: true }),
  "is dropped": ({ response }) => void response.destroy(),
  "is answered with 503": ({ response }) => void response.writeHead(503, { "content-type": "application/json" }).end('{"code":"PGRST000"}'),
  "is answered with HTML": ({ response }) => void response.writeHead(502, { "content-type": "text/html" }).end(HTML),
  "is slow": async ({ pass, delay }, random) => {
    await delay(random.between(500, 4000));
    await pass();
  },
};

/** Puts the faults into a proxy (proxy.mjs) of the gateway. `isVictim(user)` by the user's id. Returns `{ calm() }`. */
export function gatewayFaults({ gateway, random, isVictim, report }) {
  const inARow = new Map();
  let calm = false;
  gateway.fault((request) => request.path.startsWith("/rest/v1/"), async (exchange) => {
    const { request, pass } = exchange;
    const user = userOf(request);
    const key = `${request.path.split("?")[0]} ${user}`;
    const failed = inARow.get(key) ?? 0;
    const chance = user === undefined ? 0.05 : isVictim(user) ? 0.15 : 0;
    if (calm || failed >= MOST_IN_A_ROW || random.next() >= chance) {
      inARow.delete(key);
      return pass();
    }
    inARow.set(key, failed + 1);
    report.count("faults of PostgREST");
    return WAYS[random.pick(Object.keys(WAYS))](exchange, random);
  });
  return { calm: () => void (calm = true) };
}

/** Whose call it is; undefined: the schedule's. */
function userOf({ headers, body }) {
  try {
    const { p_user_id } = JSON.parse(body);
    if (p_user_id) return p_user_id;
  } catch {
    // A list has no body.
  }
  try {
    return JSON.parse(Buffer.from(headers.authorization.split(".")[1], "base64url")).sub;
  } catch {
    return undefined;
  }
}
