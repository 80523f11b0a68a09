// What a run has counted, and what it has found wrong.

const SHOWN = 1500;
/** Of one invariant: a flood of one must not hide the others. */
const MOST_SHOWN = 5;

export class Report {
  violations = 0;
  counts = {};

  count(name, more = 1) {
    this.counts[name] = (this.counts[name] ?? 0) + more;
  }

  say(line) {
    console.log(line);
  }

  /** Something that must never be: which invariant, what was expected, what came. Never a secret: the caller leaves them out. */
  violation(invariant, expected, came) {
    this.violations += 1;
    this.count(`violated: ${invariant}`);
    if (this.counts[`violated: ${invariant}`] > MOST_SHOWN) return;
    const text = (value) => (typeof value === "string" ? value : JSON.stringify(value)).slice(0, SHOWN);
    console.error(`violation: ${invariant}\n  expected: ${text(expected)}\n  came:     ${text(came)}`);
  }

  require(holds, invariant, expected, came) {
    if (!holds) this.violation(invariant, expected, came);
  }

  /** The lines that a run closes with. */
  closing() {
    const { counts } = this;
    const width = Math.max(...Object.keys(counts).map((name) => name.length), "violations".length);
    const lines = Object.entries({ ...counts, violations: this.violations });
    return lines.map(([name, value]) => `${`${name}:`.padEnd(width + 2)}${value}`).join("\n");
  }
}
