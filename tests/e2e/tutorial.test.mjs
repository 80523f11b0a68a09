// docs/tutorial.md, word for word: its user connects an account as step 2 says, and a shell runs the commands from step 3 on.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";

import { PROGRAM } from "../keytool/support.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { commandsUnder } from "../support/documented.mjs";
import { scanFixture } from "../support/scanner.mjs";
import { signIn } from "../support/users.mjs";

const PAGE = "docs/tutorial.md";
const missing = ["psql", "curl"].find((program) => spawnSync(program, ["--version"]).status !== 0);

describe("the tutorial", () => {
  const fixture = scanFixture("tutorial");

  it("ends with a scanned project", { skip: missing && `there is no ${missing}` }, async () => {
    const { worker, scanner } = fixture;
    const browser = new BrowserSession(worker);
    const { user } = worker.info;
    await browser.signIn({ ...user, ...(await signIn(worker.info, user)) });
    const id = await browser.connect("anybody");

    const place = mkdtempSync(path.join(tmpdir(), "tutorial-"));
    fixture.stops.push(() => rmSync(place, { recursive: true }));
    mkdirSync(`${place}/.dev`);
    writeFileSync(`${place}/.dev/stack.json`, JSON.stringify(worker.info));
    // What step 1 and `cargo install` do, the run of the tests has done.
    symlinkSync(path.resolve(PROGRAM), `${place}/keytool`);
    const steps = ["## 3. Call the API", "## 4. Look at what is stored", "## 5. Scan it", "## 6. Look at the keys"];
    const typed = steps.flatMap((step) => commandsUnder(PAGE, step)).map(({ text }) => text.replace("cargo install --locked --path keytool\n", ""));
    writeFileSync(`${place}/tutorial.sh`, `set -euo pipefail\n${typed.join("\n")}\n`);
    const env = { PATH: `${place}:${path.dirname(process.execPath)}:${process.env.PATH}` };
    const child = spawn("bash", ["tutorial.sh"], { cwd: place, env, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of ["stdout", "stderr"]) child[stream].setEncoding("utf8").on("data", (chunk) => (text += chunk));
    let ended = false;
    const status = new Promise((resolve, reject) => child.once("error", reject).once("close", resolve)).finally(() => (ended = true));
    // As `cargo xtask dev` starts the scanner's schedule again and again.
    while (!ended) await Promise.race([scanner.scheduled(), status]);
    assert.equal(await status, 0, text);

    assert.ok(text.includes(`"id":"${id}"`) && text.includes('"count":1'), text);
    assert.match(text, /^rotation to [0-9a-f]{16}: 100\.0 %, 0 rows left$/m);
    assert.match(text, /"severity":"high"/);
    assert.match(text, /connected/);
    const csv = readFileSync(`${place}/findings.csv`, "utf8").split("\n");
    assert.ok(csv.length > 5, `${csv.length} lines`);
  });
});
