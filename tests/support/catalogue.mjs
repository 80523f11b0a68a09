// The entries of the catalogue as a reader of docs/providers.md sees them.
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../worker/providers/", import.meta.url);
/** What an entry leaves out: docs/providers.md. */
const DEFAULTS = {
  headers: {},
  authorize_parameters: {},
  scopes: [],
  scope_parameter: "scope",
  scope_separator: "space",
  pkce: "s256",
  token_request: "form",
  token_answer: "json",
  token_type: "bearer",
  tokens_at: "",
  kept: [],
};
const IDENTITY_DEFAULTS = { from: "request", style: "get", headers: {}, list: false };

/** The entries of the catalogue, with their defaults. */
export function catalogue() {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".json"));
  return files.map((file) => {
    const entry = { ...DEFAULTS, ...JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")) };
    return { ...entry, identity: { ...IDENTITY_DEFAULTS, ...entry.identity } };
  });
}
