// The accounts behind the authorization server: the login name decides which projects a user has.
import { createHash } from "node:crypto";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/**
 * The projects of a login, always the same ones for the same name, so that tests isolate themselves by login:
 * `demo` has "My Project", `none` (or `none-…`) has none, `two` (or `two-…`) has two, any other one named after it.
 */
export function projectsOf(login) {
  if (/^none(-|$)/.test(login)) return [];
  if (/^two(-|$)/.test(login)) return [project(login, "First Project"), project(login, "Second Project")];
  return [project(login, login === "demo" ? "My Project" : login)];
}

/** As the Management API describes a project. */
function project(login, name) {
  const ref = letters(`project ${login} ${name}`);
  return {
    id: ref,
    ref,
    name,
    organization_id: letters(`organization ${login}`),
    organization_slug: letters(`organization ${login}`),
    region: "eu-central-1",
    status: "ACTIVE_HEALTHY",
    created_at: "2025-12-07T13:30:00.000000Z",
  };
}

function letters(seed) {
  const digest = createHash("sha256").update(seed).digest();
  return Array.from(digest.subarray(0, 20), (byte) => LETTERS[byte % LETTERS.length]).join("");
}
