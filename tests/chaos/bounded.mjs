// The harness's own connections to the database go down with it when it crashes. `postgres` then may write to a socket that has gone: that throws
// outside of any query, and the query is never answered.

const LONGEST_MS = 5000;
const LOST_WRITE = /^TypeError: Cannot read properties of null \(reading 'write'\)\n\s+at \w+\.nextWrite \(\S+\/postgres\/src\/connection\.js:/;

/** Counts those, so that a query which was lost shows. Any other exception that nobody catches ends the run. */
export function countLostWrites(report) {
  process.on("uncaughtException", (error) => {
    if (LOST_WRITE.test(error.stack)) return report.count("queries of the harness that a crash lost");
    console.error(error);
    process.exit(1);
  });
}

/** What a query answers; undefined where it fails, or does not answer in time. */
export async function bounded(query, ms = LONGEST_MS) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  try {
    return await Promise.race([Promise.resolve(query).catch(() => undefined), late]);
  } finally {
    clearTimeout(timer);
  }
}
