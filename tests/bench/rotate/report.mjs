// The result as a person reads it.

/** The tables of a result. */
export function show({ settings, wrapping_seconds, ways, ratios }) {
  const { rows, organizations, rounds, connections, round_trip_ms, sample } = settings;
  const head = `${rows} rows in ${organizations} organizations, ${connections} connections, median of ${rounds} rounds`;
  const wrapping = `wrapping key only, no row resealed: ${wrapping_seconds.toFixed(2)} s`;
  if (!ways) return [head, "", wrapping].join("\n");
  const names = {
    floor: "floor: every row written again as it is",
    direct: "keytool, PostgreSQL directly",
    delayed: `keytool, a round trip of ${round_trip_ms} ms away`,
    rest: "keytool, through PostgREST",
    script: `a script with supabase-js (${sample} rows)`,
  };
  const line = ([name, { rows_per_second, hot, peak_mb }]) =>
    [names[name].padEnd(45), rows_per_second.toFixed(0).padStart(8), `${(100 * hot).toFixed(0)} %`.padStart(7), (peak_mb?.toFixed(1) ?? "").padStart(9)].join("").trimEnd();
  const aims = [
    ["keytool, of the floor", ratios.direct_to_floor.toFixed(2), "at least 0.42"],
    ["keytool, times the script", ratios.direct_to_script.toFixed(0), "at least 100"],
    [`keytool ${round_trip_ms} ms away, of keytool here`, ratios.delayed_to_direct.toFixed(2), "more than 0.5"],
    ["keytool through PostgREST, times the script", ratios.rest_to_script.toFixed(0), ""],
  ];
  return [
    head,
    "",
    wrapping,
    "",
    `${"".padEnd(45)}${"rows/s".padStart(8)}${"HOT".padStart(7)}${"peak MB".padStart(9)}`,
    ...Object.entries(ways).map(line),
    "",
    ...aims.map(([name, value, aim]) => `${name.padEnd(45)}${value.padStart(8)}${aim && `  (aim: ${aim})`}`),
  ].join("\n");
}
