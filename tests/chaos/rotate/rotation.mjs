// One change of the key, state by state as docs/rotation.md goes, with the load going on and keytool killed wherever it can be.
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

import { eventOf } from "./keytool.mjs";
import { newKey, opened, sealed } from "./sealing.mjs";

const EXIT = { done: 0, failed: 1, usage: 2, doesNotOpen: 3, keyMissing: 4 };
const WHEN = ["before", "after", "answered"];
/** More steps than any of the runs takes that is ended at every one of them. */
const MOST_STEPS = 400;

export class Rotation {
  /** From key `a`, which the running `deployment` has, to key `b`. */
  constructor(fixture, { a, b, deployment, random, size }) {
    Object.assign(this, { ...fixture, fixture, a, b, deployment, random, size });
  }

  /** Returns the deployment that is left, which knows `b` alone. */
  async run() {
    const { fixture, a, b } = this;
    for (const state of ["prepare", "switchOver", "endAtEveryStatement", "killAtRandom", "damage", "finish", "fence", "retire"]) {
      const begun = performance.now();
      await this[state]();
      await this.look();
      this.report.say(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${a.kid} to ${b.kid}: ${state}, ${this.model.size} rows`);
    }
    const last = await fixture.deploy([b]);
    await fixture.undeploy(this.deployment);
    await this.must(["fence", "--lift"], [b], EXIT.done);
    return last;
  }

  /** Judges what has happened, and compares the table with what was acknowledged. */
  async look() {
    await this.journal.read();
    return this.model.check();
  }

  /** Every deployment learns to open B; two of them run side by side for a while. */
  async prepare() {
    const { a, b } = this;
    this.model.keys = this.journal.keys = this.dataKeys.keys = [a, b];
    await this.prepared.insert(this.size.rows, a);
    await this.replace([a, b]);
    // The load alone, without any rotation.
    await delay(this.size.pause);
    await this.refuseWrongKeys();
  }

  /** Every deployment begins to seal with B; while the last of the others drain, both are written. */
  async switchOver() {
    const { a, b } = this;
    this.journal.admit(b);
    const before = this.deployment;
    this.deployment = await this.fixture.deploy([b, a]);
    this.load.keys = [b, a];
    await delay(this.size.pause);
    // Too early, as the runbook has it, and harmless: what the old deployment goes on to write is found by the next run.
    await this.keytool.run(["rotate", "--batch", "200"], [b, a], { killAfter: this.random.between(50, 400) });
    await this.fixture.undeploy(before);
    // The direct writers' last acts with A may still be under way.
    await this.model.settle();
    this.journal.dismiss(a);
  }

  /** A small run over one organisation, ended at its first statement, at its second one, and so on to the last. */
  async endAtEveryStatement() {
    const { a, b } = this;
    const organization = randomUUID();
    const rows = await this.prepared.insert(this.size.swept, a, { organization, keys: [b, a] });
    for (const row of rows) this.model.get(row.id).fixed = true;
    const args = ["rotate", "--jobs", "1", "--batch", "4", "--only-organization", organization];
    const first = this.random.between(0, WHEN.length - 1);
    const ways = this.size.everyWay ? WHEN : [undefined];
    for (let step = 1, ended = 0; ended < ways.length && step <= MOST_STEPS; step++) {
      ended = 0;
      for (const way of ways) {
        const when = way ?? WHEN[(first + step) % WHEN.length];
        await this.prepared.sealAgain(rows, a);
        const run = await this.keytool.run(args, [b, a], { wire: { end: { step, when } } });
        if (!run.killed) ended += 1;
        this.tell(run);
        this.report.require(run.killed || run.code === EXIT.done, "a run that is not killed succeeds", EXIT.done, `${run.code}: ${run.stderr}`);
        // A hole in the middle of a statement would show in any look; the table as a whole is looked at less often.
        if (step % 8 === 0) await this.look();
      }
    }
    await this.must(args, [b, a], EXIT.done);
  }

  /** Several rotators at once, by either way, each killed at a random moment, again and again. */
  async killAtRandom() {
    const { a, b, random } = this;
    for (let round = 0; round < this.size.rounds; round++) {
      await this.prepared.insert(Math.ceil(this.size.rows / 2), a, { keys: [b, a] });
      const deleting = this.#deleteDataKeys(random.between(50, 1000));
      const rotators = Array.from({ length: round === 0 ? 3 : random.between(0, 3) }, (_, index) => {
        const way = index === 2 || random.next() < 0.2 ? "rest" : "direct";
        const leaked = random.next() < 0.3 ? ["--new-data-keys"] : [];
        const args = ["rotate", ...leaked, "--jobs", String(random.between(1, 3)), "--batch", String(random.pick([20, 100, 500]))];
        // A slow wire lets the load come between reading and writing.
        const wire = { delay: random.pick([0, 5, 40, 100]), end: this.#randomEnd() };
        const killAfter = random.next() < 0.7 ? random.between(30, 1500) : undefined;
        return this.keytool.run(args, [b, a], { way, wire, killAfter });
      });
      // One is let go to its end.
      rotators.push(this.keytool.run(["rotate", "--batch", "500"], [b, a], { wire: { delay: 60 } }));
      this.report.count("rotators", rotators.length);
      const looking = this.look();
      for (const run of await Promise.all(rotators)) {
        this.tell(run);
        this.report.require(run.killed || run.code === EXIT.done, "a run that is not killed succeeds", EXIT.done, `${run.code}: ${run.stderr}`);
      }
      await looking;
      await deleting();
      await this.look();
    }
  }

  /** An organization's data keys are deleted while its rows are moved. What they have sealed opens no more, and holds nothing up. */
  #deleteDataKeys(after) {
    const { a, b } = this;
    const organization = randomUUID();
    const work = async () => {
      const rows = await this.prepared.insert(this.size.swept, a, { organization, keys: [b, a] });
      for (const row of rows) Object.assign(this.model.get(row.id), { fixed: true, busy: true });
      await delay(after);
      await this.dataKeys.load();
      await this.owner`select private.delete_data_keys(${organization})`;
      return rows.map(({ id }) => id);
    };
    const working = work();
    return async () => {
      const ids = await working;
      const { tally } = eventOf(await this.keytool.run(["status", "--only-organization", organization], [b, a]), "status") ?? {};
      this.report.require(tally?.missing_data_key > 0, "what deleted data keys have sealed opens no more", "a row without its key", JSON.stringify(tally));
      await this.prepared.remove(ids);
      for (const id of ids) Object.assign(this.model.get(id), { busy: false, fields: null });
    };
  }

  #randomEnd() {
    if (this.random.next() < 0.5) return undefined;
    return { step: this.random.between(1, 120), when: this.random.pick(WHEN) };
  }

  /** Damaged rows are named, all others done, and there is no fence. */
  async damage() {
    const { a, b } = this;
    await this.prepared.insert(this.size.swept, a, { keys: [b, a] });
    const all = await this.prepared.insertDamaged([b, a]);
    const ids = [...all.keys()];
    const stored = await this.stored(ids);
    const run = await this.must(["rotate"], [b, a], EXIT.doesNotOpen);
    this.same(findings(run), all, "damaged rows are reported by id and class");
    await this.expectAllOn(b, all);
    const fence = await this.must(["fence"], [b, a], EXIT.doesNotOpen);
    this.same(findings(fence), all, "damaged rows are reported by id and class");
    const [{ up }] = await this.owner`select private.fence_is_up() as up`;
    this.report.require(up === false, "damaged rows keep the fence down", "no fence", "a fence");
    this.same(await this.stored(ids), stored, "damaged rows are left as they are");
    await this.prepared.remove(ids);
    this.report.count("damaged rows", ids.length);
  }

  /** A run to the end, and one more, which finds nothing to do. */
  async finish() {
    const { a, b } = this;
    await this.prepared.insert(Math.ceil(this.size.rows / 2), a, { keys: [b, a] });
    // With nobody beside it, and so slow a wire that the load comes in between, it loses races and tells so.
    await this.must(["rotate", "--jobs", "2"], [b, a], EXIT.done, { wire: { delay: 100 } });
    await this.expectAllOn(b);
    await this.journal.readAll();
    const second = await this.must(["rotate"], [b, a], EXIT.done);
    const wrote = await this.journal.readAll();
    const said = eventOf(second, "rewrapped").written;
    this.report.require(wrote === 0 && said === 0, "a second run writes nothing", "0 rows", `${wrote} written, ${said} reported`);
  }

  /** The fence, ended at every statement of its putting up; then nobody writes with A any more. */
  async fence() {
    const { a, b } = this;
    await this.#endCommand(["fence"], [b, a]);
    await this.must(["fence"], [b, a], EXIT.done);
    const row = { id: randomUUID(), organization_id: this.prepared.users[0], external_account_id: randomUUID(), name: "Late" };
    const plain = { access_token: "late", refresh_token: "late" };
    const outcome = await this.load.complete(row, sealed(a, row, plain), "created").then(() => "written", ({ code }) => code);
    this.report.require(outcome === "IK001", "the fence refuses what is not on B", "IK001", outcome);
  }

  /** B alone opens every row, A alone none, and A is retired for good. */
  async retire() {
    const { a, b } = this;
    await this.#endCommand(["retire", "--yes"], [b, a]);
    await this.must(["retire", "--yes"], [b, a], EXIT.done);
    await this.must(["verify", "--primary-only"], [b, a], EXIT.done);
    await this.must(["verify"], [b], EXIT.done);
    const tally = eventOf(await this.must(["verify"], [a], EXIT.keyMissing), "verified").tally ?? {};
    this.report.require(
      tally.does_not_open > 0 && tally.does_not_open === tally.rows - tally.nothing_sealed,
      "the old key opens nothing",
      "no row that opens",
      JSON.stringify(tally),
    );
    const back = await this.keytool.run(["rotate"], [a, b]);
    this.report.require(back.code !== EXIT.done, "a retired key is not rotated to", "a refusal", back.code);
    await this.expectAllOn(b);
  }

  async #endCommand(args, keys) {
    for (let step = 1; step <= MOST_STEPS; step += this.size.everyWay ? 1 : 2) {
      const run = await this.keytool.run([...args, "--jobs", "1"], keys, { wire: { end: { step, when: WHEN[step % WHEN.length] } } });
      if (!run.killed) {
        this.report.require(run.code === EXIT.done, "a run that is not killed succeeds", EXIT.done, `${run.code}: ${run.stderr}`);
        return;
      }
    }
  }

  /** The new key is a wrong one, or the old one is missing: refused, and nothing is written. */
  async refuseWrongKeys() {
    const { a, b } = this;
    const stranger = newKey();
    await this.journal.readAll();
    for (const keys of [[b], [stranger], [b, stranger]]) {
      const run = await this.keytool.run(["rotate"], keys);
      this.report.require([EXIT.usage, EXIT.keyMissing].includes(run.code), "wrong keys are refused", EXIT.usage, run.code);
    }
    const wrote = await this.journal.readAll();
    this.report.require(wrote === 0, "wrong keys are refused before the first write", "0 rows written", wrote);
    const everywhere = await this.keytool.run(["verify"], [a, b]);
    this.report.require(everywhere.code === EXIT.done, "every row opens with A and B", EXIT.done, `${everywhere.code}: ${everywhere.stderr}`);
  }

  async replace(keys) {
    const before = this.deployment;
    this.deployment = await this.fixture.deploy(keys);
    await delay(this.size.pause);
    await this.fixture.undeploy(before);
  }

  /** Runs keytool to its end, which must be this one. */
  async must(args, keys, code, options) {
    const run = await this.keytool.run(args, keys, options);
    this.tell(run);
    this.report.require(run.code === code, `keytool ${args.join(" ")} ends as it should`, `exit ${code}`, `exit ${run.code}: ${run.stderr}`);
    return run;
  }

  /** Counts what a rotator says of its races. */
  tell(run) {
    const { written = 0, lost_races: lost = 0 } = eventOf(run, "rewrapped");
    this.report.count("races won, as reported", written);
    this.report.count("races lost, as reported", lost);
  }

  async stored(ids) {
    const rows = await this.owner`select id, config, updated_at from public.integrations where id in ${this.owner(ids)} order by id`;
    return new Map(rows.map(({ id, ...rest }) => [id, JSON.stringify(rest)]));
  }

  async expectAllOn({ kid, ...key }, except = new Map()) {
    const rows = await this.owner`select id, organization_id, config from public.integrations`;
    await this.dataKeys.load();
    for (const row of rows) {
      if (except.has(row.id)) continue;
      const { fault } = opened([{ kid, ...key }], row, this.dataKeys);
      const wrapping = row.config._enc?.v === 3 ? this.dataKeys.wrapping(row.organization_id, row.config._enc.kid) : undefined;
      this.report.require(!fault && wrapping === kid, "every row is on a data key that the new key wraps", `row ${row.id} on ${kid}`, fault ?? wrapping);
    }
  }

  same(came, expected, invariant) {
    const list = (map) => JSON.stringify([...map].sort());
    this.report.require(list(came) === list(expected), invariant, list(expected), list(came));
  }
}

/** The rows that a run has reported: their classes by id. */
function findings({ events }) {
  return new Map(events.filter(({ event }) => event === "does_not_open").map((finding) => [finding.id, finding.class]));
}
