// What the tests of the database share: a server for each file, in it a project for each test, and callers in the roles of Supabase.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import postgres from "postgres";

import { migrate } from "../stack/migrate.mjs";
import { startPostgres } from "../stack/postgres.mjs";

/**
 * Starts PostgreSQL for one test file.
 * `createProject({ to })` makes a database with Supabase's defaults and our migrations (up to version `to`; null: none).
 */
export async function startServer() {
  const dir = mkdtempSync(path.join(tmpdir(), "database-test-"));
  const logs = path.join(dir, "logs");
  const server = await startPostgres({ dir, logs });
  const projects = [];

  const createProject = async ({ to } = {}) => {
    const project = new Project(server, `project_${projects.length}`);
    projects.push(project);
    await project.create(to);
    return project;
  };
  const stop = async () => {
    await Promise.all(projects.map((project) => project.end()));
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { logs, createProject, stop };
}

class Project {
  #server;
  #connections = [];

  constructor(server, name) {
    this.#server = server;
    this.name = name;
  }

  async create(to) {
    const maintenance = postgres(this.#server.url("postgres"), { max: 1, onnotice: () => {} });
    await maintenance.unsafe(`create database ${this.name} owner postgres`).finally(() => maintenance.end());
    if (to !== null) await this.migrate(to);
    /** As the owner of the tables: sets scenes and looks at results. */
    this.owner = this.connect("postgres");
    /** As the service key does. */
    this.service = this.connect("authenticator", { role: "service_role" });
  }

  url(role) {
    return this.#server.url(role, this.name);
  }

  migrate(to) {
    return migrate(this.url("postgres"), { to });
  }

  /** `settings` are the session's, as PostgREST sets them: role, request.jwt.claims. */
  connect(login, settings = {}, max = 1) {
    const sql = postgres(this.url(login), { max, connection: settings, onnotice: () => {} });
    this.#connections.push(sql);
    return sql;
  }

  /** A signed-in user's connection, or with null a visitor's. */
  user(id, claims = {}) {
    if (id === null) return this.connect("authenticator", { role: "anon" });
    return this.connect("authenticator", {
      role: "authenticated",
      "request.jwt.claims": JSON.stringify({ sub: id, role: "authenticated", ...claims }),
    });
  }

  end() {
    return Promise.all(this.#connections.map((sql) => sql.end({ timeout: 1 })));
  }
}

/** Calls a function of the schema public by the names of its arguments. */
export async function call(sql, name, args = {}) {
  const names = Object.keys(args);
  const list = names.map((argument, i) => `${argument} => $${i + 1}`).join(", ");
  const [row] = await sql.unsafe(`select public.${name}(${list}) as answer`, Object.values(args));
  return row.answer;
}

/** Arguments of begin_connection that are fine, save what `over` says. */
export function beginning(over = {}) {
  const user = over.p_user_id ?? randomUUID();
  return {
    p_id: randomUUID(),
    p_state_hash: `state ${randomUUID()}`,
    p_binding_hash: `binding ${randomUUID()}`,
    p_user_id: user,
    p_organization_id: user,
    p_integration_type: "supabase",
    p_issuer: "https://api.example.test",
    p_redirect_uri: "https://app.example.test/api/auth/callback/supabase",
    p_verifier: { verifier_token: "a.b.c", _enc: { v: 2, kid: KID.a } },
    p_return_to: "/",
    ...over,
  };
}

/** Arguments of complete_connection that are fine, save what `over` says. */
export function completion(over = {}) {
  const user = over.p_user_id ?? randomUUID();
  return {
    p_id: randomUUID(),
    p_user_id: user,
    p_organization_id: user,
    p_integration_type: "supabase",
    p_external_account_id: "abcdefghijklmnopqrst",
    p_name: "My Project",
    p_config: config(KID.a),
    p_request_id: "request 1",
    ...over,
  };
}

/** Arguments of disconnect_integration for a connected row. */
export function disconnection({ p_id, p_user_id }, over = {}) {
  return { p_id, p_user_id, p_owner: randomUUID(), p_wide_types: [], p_request_id: "r", ...over };
}

/** Arguments of abandon_connection for a pending grant. */
export function abandonment({ p_id, p_user_id }, over = {}) {
  return {
    p_id, p_user_id, p_owner: randomUUID(), p_reason: "abandoned", p_external_account_id: null, p_wide: false, p_request_id: "r", ...over,
  };
}

/** Writes a grant down, and lets it wait for the choice of an account; `args` are those of `pending`. */
export async function addPending(sql, { p_accounts, ...args }) {
  await call(sql, "add_pending_connection", args);
  if (p_accounts === null) return { outcome: "pending" };
  return call(sql, "offer_accounts", { p_id: args.p_id, p_user_id: args.p_user_id, p_accounts });
}

/** Arguments of add_pending_connection and offer_accounts that are fine, save what `over` says. */
export function pending(over = {}) {
  const user = over.p_user_id ?? randomUUID();
  return {
    p_id: randomUUID(),
    p_user_id: user,
    p_organization_id: user,
    p_integration_type: "supabase",
    p_config: config(KID.a),
    p_accounts: [{ id: "one", name: "One" }, { id: "two", name: "Two" }],
    p_return_to: "/after",
    ...over,
  };
}

export const KID = { a: "aaaaaaaaaaaaaaaa", b: "bbbbbbbbbbbbbbbb", c: "cccccccccccccccc" };

/** A config as the worker stores it; `kid` null gives the legacy form. */
export function config(kid, fields = {}) {
  const sealed = { access_token: "aXY=.dGFn.Y2lwaGVy", refresh_token: "aXY=.dGFn.Y2lwaGVy", ...fields };
  return kid === null ? sealed : { ...sealed, _enc: { v: 2, kid } };
}

/** Inserts an integration as the source's own writer does, with `over` in its columns; returns its id. */
export async function insertIntegration(sql, over = {}) {
  const row = {
    id: randomUUID(),
    organization_id: randomUUID(),
    integration_type: "supabase",
    name: "My Project",
    config: sql.json(config(null, { project_id: "abc123" })),
    ...over,
  };
  const [{ id }] = await sql`insert into public.integrations ${sql(row)} returning id`;
  return id;
}

export async function addMember(sql, organization, user) {
  await sql`insert into public.organization_members (organization_id, user_id) values (${organization}, ${user})`;
}

/** Waits until so many backends of the server wait for a lock, so that a race is really under way. */
export async function lockWait(sql, count = 1) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    // Not pg_stat_activity, which shows the waits of one's own role only.
    const [{ waiting }] = await sql`select count(distinct pid)::int as waiting from pg_locks where not granted`;
    if (waiting >= count) return;
    if (Date.now() > deadline) throw new Error(`expected ${count} waiting backends, found ${waiting}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
