// What wrangler.toml says of the deployment, as wrangler itself reads it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { experimental_readRawConfig } from "wrangler";

const CONFIG = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));

test("116. Cloudflare's logs get no query string, so no code and no state", () => {
  const { rawConfig } = experimental_readRawConfig({ config: CONFIG });
  assert.equal(rawConfig.observability.redact_query_string, true);
});
