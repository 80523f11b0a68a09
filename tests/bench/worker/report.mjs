// The result as a person reads it.

/** The tables of a result. */
export function show({ settings, bundle, start_ms, routes, reads, upstream_requests }) {
  const { connections, rounds, seconds, rows } = settings;
  const lines = [
    `${connections} connections, ${rows} rows, median of ${rounds} rounds of ${seconds} s each`,
    "",
    table(
      ["", "requests/s", "of plain", "p99 ms", "of plain", "CPU µs", "of plain"],
      routes.flatMap(({ name, plain, edge, ratio }) => [
        [`${name}: plain`, ...figures(plain)],
        [`${name}: edge`, ...figures(edge, ratio)],
      ]),
    ),
    "",
    table(
      ["", "plain", "edge"],
      [
        ["from start to first answer, ms", start_ms.plain.toFixed(0), start_ms.edge.toFixed(0)],
        ["uploaded, KB", kilobytes(bundle.plain.bytes), kilobytes(bundle.edge.bytes)],
        ["gzipped, KB", kilobytes(bundle.plain.gzipped), kilobytes(bundle.edge.gzipped)],
      ],
    ),
  ];
  if (reads) {
    const { list, credential, ratio } = reads;
    const row = (of, ratio) => ["requests_per_second", "p50_ms", "p99_ms"].flatMap((name) => [of[name].toFixed(1), ratio?.[name].toFixed(2) ?? ""]);
    lines.push(
      "",
      table(
        ["on the real stack", "requests/s", "of the list", "p50 ms", "of the list", "p99 ms", "of the list"],
        [
          ["list, by a user", ...row(list)],
          ["live credential, by a program", ...row(credential, ratio)],
        ],
      ),
    );
  }
  if (upstream_requests) {
    const counts = Object.entries(upstream_requests).map(([operation, count]) => [operation, String(count)]);
    lines.push("", table(["requests upstream, keys cached", ""], counts));
  }
  return lines.join("\n");
}

function figures(of, ratio) {
  const cell = (name, digits) => [of[name]?.toFixed(digits) ?? "", ratio?.[name]?.toFixed(2) ?? ""];
  return [...cell("requests_per_second", 0), ...cell("p99_ms", 1), ...cell("cpu_us_per_request", 0)];
}

function kilobytes(bytes) {
  return (bytes / 1000).toFixed(1);
}

function table(head, rows) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column].length)));
  const line = (row) => row.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join("  ").trimEnd();
  return [head, ...rows].map(line).join("\n");
}
