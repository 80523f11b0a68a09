// The types of packages/client, from docs/openapi.yaml.
//
//     node_modules/.bin/node tests/format/client-types.mjs      # writes them anew
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import openapiTS, { astToString } from "openapi-typescript";

export const FILE = fileURLToPath(new URL("../../packages/client/src/schema.d.ts", import.meta.url));

export async function generated() {
  const types = await openapiTS(new URL("../../docs/openapi.yaml", import.meta.url));
  return `// Generated from docs/openapi.yaml by tests/format/client-types.mjs, and compared by a test.\n\n${astToString(types)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(FILE, await generated());
