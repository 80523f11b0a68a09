// The entries of the catalogue as a reader of docs/providers.md sees them.
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../catalogue/providers/", import.meta.url);
/** What an entry leaves out: docs/providers.md. */
const DEFAULTS = {
  auth: "oauth",
  fields: [],
  key_headers: {},
  token_parameters: {},
  headers: {},
  authorize_parameters: {},
  scopes: [],
  scope_parameter: "scope",
  scope_separator: "space",
  pkce: "s256",
  token_request_format: "form",
  token_response_format: "json",
  token_type: "bearer",
  token_response_path: "",
  token_response_metadata: [],
  invalid_grant: [],
};
const FIELD_DEFAULTS = { format: "text", max: 255 };
const IDENTITY_DEFAULTS = { from: "request", style: "get", headers: {}, list: false };

/** The entries of the catalogue that are connected by OAuth, with their defaults. */
export function catalogue() {
  return entries().filter(({ auth }) => auth === "oauth");
}

/** Those that are connected with credentials. */
export function credentialCatalogue() {
  return entries().filter(({ auth }) => auth !== "oauth");
}

function entries() {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".json"));
  return files.map((file) => {
    const entry = { ...DEFAULTS, ...JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")) };
    const fields = entry.fields.map((field) => ({ ...FIELD_DEFAULTS, ...field }));
    return { ...entry, fields, identity: { ...IDENTITY_DEFAULTS, ...entry.identity } };
  });
}
