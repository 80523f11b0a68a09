// docs/operations.md: its drills, word for word, one after the other on one database. They need psql, as the page does.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { commandsUnder } from "../support/documented.mjs";
import { A, PROGRAM, openRow, startDatabases } from "./support.mjs";

const hasPsql = spawnSync("psql", ["--version"]).status === 0;

let databases, folder;
before(async () => {
  databases = await startDatabases();
  folder = mkdtempSync(path.join(tmpdir(), "drills-"));
});
after(async () => {
  await databases?.stop();
  rmSync(folder, { recursive: true });
});

test("the drills end as the page says, and leave every row as it was", { skip: !hasPsql && "there is no psql" }, async () => {
  const table = await databases.project();
  await table.insertMany(20, A);
  await table.insertOnDataKey(A, 20);
  const plain = async () => (await table.rows()).map((row) => openRow([A], row));
  const before = await plain();
  mkdirSync(`${folder}/.dev`);
  symlinkSync(path.resolve(PROGRAM), `${folder}/keytool`);
  writeFileSync(`${folder}/.dev/stack.json`, JSON.stringify({ database_url: table.direct.DATABASE_URL, encryption_key: A.base64 }));

  // tests/e2e/restore.test.mjs has the drill with a whole database.
  const drills = commandsUnder("docs/operations.md", "## Drills").filter(({ heading }) => heading !== "### A whole database");
  assert.ok(drills.length >= 8, `${drills.length} blocks`);
  // A command whose line ends in `# exit status 4: …` has to end so, every other one with 0.
  const fails = /^(.*\S) +# exit status (\d+)\b.*$/gm;
  const script = drills.map(({ text }) => text.replaceAll(fails, 'status=0; $1 || status=$?; [ "$status" = $2 ] || { echo "exit status $status, not $2: line $LINENO"; exit 99; }')).join("\n");
  writeFileSync(`${folder}/drills.sh`, `set -eu\n${script}\n`);
  const env = { PATH: `${folder}:${path.dirname(process.execPath)}:${process.env.PATH}`, PGOPTIONS: "" };
  const child = spawn("bash", ["drills.sh"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of ["stdout", "stderr"]) child[stream].setEncoding("utf8").on("data", (chunk) => (text += chunk));
  const status = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  assert.equal(status, 0, text);

  // What each drill has the reader see.
  for (const seen of [/IK001|is not sealed with a key that may write now/, /40 rows are sealed with key/, /is retired/, /is no longer retired/, /40 of 40 rows open with/, /1 row is damaged/, /nothing was written/]) {
    assert.match(text, seen);
  }
  assert.deepEqual(await plain(), before);
  const rotated = await table.sql`select details->>'data_key' as kid from public.credential_events where action = 'rotated' and details->>'to' = ${A.kid}`;
  const kids = (await table.dataKeys()).map(({ kid }) => kid);
  assert.deepEqual(rotated.map(({ kid }) => kid).toSorted(), kids.toSorted(), "each data key of the killed rotation and of the next once");
});
