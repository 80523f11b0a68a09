// docs/rotation.md, word for word: on terminals of 80 and 40 columns and as cron runs it, and with what goes wrong at night.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { commandsUnder } from "../support/documented.mjs";
import { A, B, C, PROGRAM, keyOf, keytool, kidOf, openRow, sealFor, somePlain, startDatabases } from "./support.mjs";

const PAGE = "docs/rotation.md";
const blocks = commandsUnder(PAGE, "## Step by step");
const steps = blocks.filter(({ heading }) => /^### \d/.test(heading));
const atOnce = blocks.find(({ heading }) => heading.startsWith("### All of 4 to 6"));

let databases, folder;
before(async () => {
  databases = await startDatabases();
  folder = mkdtempSync(path.join(tmpdir(), "runbook-"));
});
after(async () => {
  await databases?.stop();
  rmSync(folder, { recursive: true });
});

/** What the page calls A is the key in `$A`, and B the one that step 2 makes. In place of wrangler a folder keeps the worker's secrets. */
const PRELUDE = `set -e
keytool() { '${path.resolve(PROGRAM)}' "$@"; }
npx() {
  case "$2 $3" in
    "secret put") cat > "secrets/$4" ;;
    "secret bulk") node -e 'for (const [name, value] of Object.entries(JSON.parse(fs.readFileSync(process.argv[1])))) fs.writeFileSync("secrets/" + name, value)' "$4" ;;
    "secret delete") rm "secrets/$4" ;;
    *) echo "npx $*?" >&2; exit 9 ;;
  esac
}
mkdir -p secrets
`;

/** Runs steps of the page. `columns`: on such a terminal, with every question answered by yes; without, as cron does. Resolves to `{ status, text, secret }`. */
async function follow(table, steps, { columns, keyA = A } = {}) {
  const place = mkdtempSync(path.join(folder, "run-"));
  const typed = steps.map(({ text }) => text.replaceAll(/\b(\w+_KEYS?)=A\b/g, '$1="$A"').replaceAll(/\b(\w+_KEYS?)=B\b/g, '$1="$(cat new.key)"')).join("\n");
  // Without a terminal the page has it say --yes.
  const script = columns ? typed : typed.replaceAll(/^(keytool (retire|rotate --complete))\b/gm, "$1 --yes");
  writeFileSync(`${place}/runbook.sh`, PRELUDE + script);
  const env = { PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin`, A: keyA.base64, ...table.direct };
  const [program, args] = columns
    ? ["script", ["-qec", `stty cols ${columns} rows 24; exec bash runbook.sh`, "/dev/null"]]
    : ["bash", ["runbook.sh"]];
  const child = spawn(program, args, { cwd: place, env: { ...env, ...(columns && { TERM: "xterm" }) }, stdio: [columns ? "pipe" : "ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of ["stdout", "stderr"]) {
    child[stream].setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      if (columns && chunk.includes("[y/N]")) child.stdin.write("y\n");
    });
  }
  const status = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  const read = (name) => (existsSync(`${place}/${name}`) ? readFileSync(`${place}/${name}`, "utf8").trim() : undefined);
  return { status, text, secret: (name) => read(`secrets/${name}`), key: () => keyOf(read("new.key")) };
}

const kidsOf = async (table) => [...new Set((await table.rows()).map(kidOf))];
const registryOf = async (table, key) => (await keytool({ ...table.direct, ENCRYPTION_KEY: key.base64 }, "registry", "--json")).events().at(-1);

describe("the steps of the runbook", () => {
  for (const [where, columns] of [["on a terminal of 80 columns", 80], ["on a terminal of 40 columns", 40], ["from cron", undefined]]) {
    test(`rotate and retire the key ${where}`, async () => {
      const table = await databases.project();
      await table.insertMany(50, A);
      const plain = (await table.rows()).map((row) => openRow([A], row));
      const done = await follow(table, steps, { columns });
      assert.equal(done.status, 0, done.text);
      const fresh = done.key();
      assert.deepEqual((await table.rows()).map((row) => openRow([fresh], row)), plain);
      assert.deepEqual([done.secret("ENCRYPTION_KEY"), done.secret("FALLBACK_ENCRYPTION_KEYS")], [fresh.base64, undefined]);
      const { fence, keys } = await registryOf(table, fresh);
      assert.equal(fence, null);
      assert.deepEqual(keys.map(({ kid, state }) => [kid, state]).sort(), [[A.kid, "retired"], [fresh.kid, "known"]].sort());
      // What step 1, 3 and 6 have the reader look for.
      for (const line of [`rotation to ${A.kid}: 100.0 %, 0 rows left`, `rotation to ${fresh.kid}: 0.0 %, 50 rows left`, `50 of 50 rows open with ${fresh.kid}`]) {
        assert.ok(done.text.includes(line), `${line}\n${done.text}`);
      }
      assert.doesNotMatch(done.text, /^(error|warning): /m);
    });
  }

  test("4 to 6 at once do the same as one by one", async () => {
    const table = await databases.project();
    await table.insertMany(10, A);
    const upToSwitch = steps.filter(({ heading }) => /^### [123]/.test(heading));
    const exported = { heading: "### 4", text: steps.find(({ text }) => text.startsWith("export")).text.split("\n")[0] };
    const done = await follow(table, [...upToSwitch, exported, atOnce]);
    assert.equal(done.status, 0, done.text);
    assert.deepEqual(await kidsOf(table), [done.key().kid]);
    assert.match(done.text, new RegExp(`^key ${A.kid} is retired: no row needs it`, "m"));
  });
});

describe("the runbook at night", () => {
  for (const columns of [40, undefined]) {
    test(`a wrong key stops it at its first step${columns ? ", on a terminal" : ", from cron"}`, async () => {
      const table = await databases.project();
      await table.insertMany(20, A);
      const before = await table.rows();
      const stopped = await follow(table, steps, { columns, keyA: C });
      assert.equal(stopped.status, 4, stopped.text);
      assert.match(stopped.text, new RegExp(`20 rows are sealed with key ${A.kid}, which is not among your keys`));
      assert.match(stopped.text.replaceAll("\r\n", "\n"), /^hint: nothing need be wrong with these rows, so delete none/m);
      assert.deepEqual(await table.rows(), before);
      assert.equal(stopped.secret("FALLBACK_ENCRYPTION_KEYS"), undefined, "no step after the first");
    });
  }

  test("a missing key is a setting that is not set, and status says that it has proved nothing", async () => {
    const table = await databases.project();
    await table.insertMany(5, A);
    const status = await keytool({ ...table.direct }, "status");
    assert.match(status.stdout, /^warning: ENCRYPTION_KEY environment variable is not set: nothing was opened/m);
    for (const command of ["rotate", "verify", "fence", "retire"]) {
      const done = await keytool({ ...table.direct }, command, ...(command === "retire" ? ["--yes"] : []));
      assert.deepEqual([done.status, done.stderr.split("\n")[0]], [2, "error: ENCRYPTION_KEY environment variable is not set"], command);
    }
    assert.deepEqual(await kidsOf(table), [A.kid]);
  });

  test("a webhook's secret on the old key stops it before the key is retired, and once it is rewrapped the rest goes on", async () => {
    const table = await databases.project();
    await table.insertMany(5, A);
    const place = { id: randomUUID(), organization_id: randomUUID() };
    const secret = { secret: `whsec_${randomUUID()}` };
    await table.sql`insert into public.webhook_endpoints (id, organization_id, url, config)
      values (${place.id}, ${place.organization_id}, 'https://example.com/hook', ${table.sql.json(sealFor(A, place, secret))})`;
    const stopped = await follow(table, steps);
    assert.equal(stopped.status, 1, stopped.text);
    assert.match(stopped.text, new RegExp(`^error: 1 row of webhook_endpoints is still sealed with key ${A.kid}$`, "m"));
    assert.match(stopped.text, /^hint: the worker's schedule rewraps/m);
    const fresh = stopped.key();
    assert.equal((await registryOf(table, fresh)).keys.find(({ kid }) => kid === A.kid).state, "known");
    // As the worker's schedule does.
    await table.sql`update public.webhook_endpoints set config = ${table.sql.json(sealFor(fresh, place, secret))}`;
    const settings = { ...table.direct, ENCRYPTION_KEY: fresh.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 };
    const rest = await keytool(settings, "retire", "--yes");
    assert.deepEqual([rest.status, rest.stderr.includes("error")], [0, false], rest.stderr);
  });

  test("a key that was retired by mistake comes back as the page says, and every row with it", async () => {
    const table = await databases.project();
    await table.insertMany(5, A);
    const done = await follow(table, steps);
    const fresh = done.key();
    const back = { ...table.direct, ENCRYPTION_KEY: A.base64, FALLBACK_ENCRYPTION_KEYS: fresh.base64 };
    const refused = await keytool(back, "rotate");
    assert.deepEqual([refused.status, refused.stderr.includes("`keytool unretire` takes it back")], [2, true], refused.stderr);
    for (const command of [["unretire", A.kid, "--yes"], ["rotate"]]) {
      const { status, stderr } = await keytool(back, ...command);
      assert.equal(status, 0, stderr);
    }
    assert.deepEqual(await kidsOf(table), [A.kid]);
  });

  test("with the settings of production beside staging's database it writes nothing, and says which database that is", async () => {
    const [production, staging] = [await databases.project(), await databases.project()];
    await production.insertMany(5, A);
    await staging.insertMany(5, C);
    const before = [await production.rows(), await staging.rows()];
    const settings = { ENCRYPTION_KEY: B.base64, FALLBACK_ENCRYPTION_KEYS: A.base64 };
    for (const command of [["rotate"], ["rotate", "--complete", "--yes"], ["fence"]]) {
      const done = await keytool({ ...staging.direct, ...settings }, ...command);
      assert.equal(done.status, 4, done.stderr);
      const { host, pathname } = new URL(staging.direct.DATABASE_URL);
      assert.ok(done.stderr.startsWith(`database: ${host}${pathname} as postgres (directly); primary key ${B.kid}`), done.stderr);
    }
    assert.deepEqual([await production.rows(), await staging.rows()], before);
    assert.equal((await registryOf(staging, C)).fence, null);
  });
});
