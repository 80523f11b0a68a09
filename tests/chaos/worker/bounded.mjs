// The harness's own connections to the database go down with it when it crashes, and `postgres` then forgets a query, or throws outside of it.

const LONGEST_MS = 5000;

process.on("uncaughtException", (error) => {
  if (error.stack?.includes("/postgres/src/connection.js")) return;
  console.error(error);
  process.exit(1);
});

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
