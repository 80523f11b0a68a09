// What has been acknowledged: the rows as whoever wrote them was told that they are.
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

import { differences } from "./journal.mjs";
import { opened } from "./sealing.mjs";

export class Model {
  #rows = new Map();

  constructor(sql, report, dataKeys) {
    Object.assign(this, { sql, report, dataKeys, keys: [] });
  }

  /** A row that was acknowledged: `fields` are those of its opened config that its writer knows. */
  add(row, fields) {
    this.#rows.set(row.id, { ...row, fields, busy: false, changes: 0 });
  }

  get(id) {
    return this.#rows.get(id);
  }

  /** The rows that are there and that nobody is changing now. */
  idle(condition = () => true) {
    return [...this.#rows.values()].filter((row) => row.fields && !row.busy && condition(row));
  }

  get size() {
    return this.idle().length;
  }

  /** Until every change that is under way now has ended. */
  async settle() {
    const changing = new Map([...this.#rows.values()].filter(({ busy }) => busy).map((row) => [row, row.changes]));
    while ([...changing].some(([row, changes]) => row.changes === changes)) await delay(5);
  }

  /**
   * Lets `change` change a row that nobody else changes meanwhile. It returns the fields that were acknowledged; null for a
   * row that is deleted.
   */
  async during(row, change) {
    row.busy = true;
    try {
      row.fields = await change();
    } finally {
      row.changes += 1;
      row.busy = false;
    }
  }

  /** Compares the table with what was acknowledged. Rows that change meanwhile are left to the next time. */
  async check() {
    const before = new Map([...this.#rows.values()].map((row) => [row.id, { changes: row.changes, settled: !row.busy }]));
    const rows = await this.sql`select id, organization_id, config from public.integrations`;
    await this.dataKeys.load();
    const stored = new Map(rows.map((row) => [row.id, row]));
    for (const [id, { changes, settled }] of before) {
      const row = this.#rows.get(id);
      if (settled && !row.busy && row.changes === changes) this.#compare(row, stored.get(id));
    }
    this.report.count("rows checked", rows.length);
    return rows;
  }

  #compare(row, stored) {
    const { report } = this;
    if (!row.fields || !stored) {
      report.require(!stored, "a deleted row stays deleted", `no row ${row.id}`, "it is there");
      report.require(!row.fields, "what was acknowledged is there", `row ${row.id}`, "it is gone");
      return;
    }
    const { plain, fault } = opened(this.keys, stored, this.dataKeys);
    if (fault) {
      report.violation("every row opens with the ring at every moment", `row ${row.id} opens`, fault);
      return;
    }
    const seen = Object.fromEntries(Object.keys(row.fields).map((name) => [name, plain[name]]));
    report.require(
      isDeepStrictEqual(seen, row.fields),
      "a row is what was last acknowledged",
      `row ${row.id} as acknowledged`,
      `others: ${differences(row.fields, seen)}`,
    );
  }
}
