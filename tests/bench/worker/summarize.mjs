// Medians of rounds in which two sides took turns: whatever else the machine does meanwhile hits both.

/** `runs` hold each side's figures. Returns each side's medians, and as `ratio` the medians of the rounds' ratios (other to base). */
export function summarize(runs, { base, other }) {
  const figures = Object.keys(runs[0][other]);
  const each = (of) => Object.fromEntries(figures.map((figure) => [figure, median(runs.map((run) => of(run, figure)))]));
  return {
    [base]: each((run, figure) => run[base][figure]),
    [other]: each((run, figure) => run[other][figure]),
    ratio: each((run, figure) => run[other][figure] / run[base][figure]),
  };
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
