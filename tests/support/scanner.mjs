// The built scanner on workerd, and integrations for it to scan.
import { randomBytes, randomUUID } from "node:crypto";
import path from "node:path";
import { before } from "node:test";
import { fileURLToPath } from "node:url";

import { seal } from "../format/format.mjs";
import { recordedReads } from "../stack/recorded-reads.mjs";
import { scannerSettings } from "../stack/settings.mjs";
import { answer } from "./faults.mjs";
import { ownStackFixture } from "./own-stack.mjs";
import { startModules } from "./worker.mjs";

const BUILD = fileURLToPath(new URL("../../scanner/build", import.meta.url));
const TYPES = ["supabase", "auth0", "vercel", "heroku", "discord", "gitlab", "github"];
const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** Starts the scanner: `{ logs(), logged(), scheduled(), stop() }`, as `startWorker` says. */
export function startScanner(info, bindings = {}, { build = BUILD, queue = false } = {}) {
  const settings = Object.entries({ ...scannerSettings(info), ...bindings }).filter(([, value]) => value !== undefined);
  const options = queue && {
    queueProducers: { WORK_QUEUE: { queueName: "scans" } },
    queueConsumers: { scans: { maxBatchSize: 1, maxBatchTimeout: 0, maxRetries: 0 } },
  };
  return startModules({ name: "scanner", build, bindings: settings, options: options || {} });
}

/**
 * `ownStackFixture` with a scanner. At the proxy in front of the authorization server every provider answers what was recorded of it, to any
 * token. Beyond the fixture's: `scanner`; `startScanner(bindings?, options?)`, which starts another one; and `once(matcher, behaviour)`, a fault of
 * the provider for one request.
 */
export function scanFixture(name) {
  const fixture = ownStackFixture(name);
  const recorded = recordedReads();
  fixture.startScanner = async (bindings = {}, options = {}) => {
    const bases = Object.fromEntries(TYPES.map((type) => [`${type.toUpperCase()}_BASE_URL`, fixture.server.url]));
    const scanner = await startScanner({ ...fixture.info, supabase_url: fixture.gateway.url }, { ...bases, ...bindings }, options);
    fixture.stops.push(scanner.stop);
    return scanner;
  };
  fixture.once = (matcher, behaviour) => {
    const restore = fixture.server.fault(matcher, (exchange) => {
      restore();
      return behaviour(exchange);
    });
    return restore;
  };
  before(async () => {
    fixture.server.fault(isRead(recorded), ({ request, response }) => {
      const { status, headers, body } = recorded(request.method, request.path);
      response.writeHead(status, headers).end(body);
    });
    fixture.scanner = await fixture.startScanner();
  });
  return fixture;
}

const isRead = (recorded) => ({ method, path, headers }) =>
  headers["user-agent"] === "sealed-integrations" && headers.authorization?.startsWith("Bearer token-") && recorded(method, path) !== undefined;

/** A project's ref, another one each time. */
export const randomRef = () => Array.from(randomBytes(20), (byte) => LETTERS[byte % 26]).join("");

/**
 * An active integration whose account has not been scanned: `{ id, organization_id, account, token }`. `plain` are fields of its config,
 * `columns` of its row.
 */
export async function insertScannable({ info, sql }, { type = "supabase", plain = {}, ...columns } = {}) {
  const key = Buffer.from(info.encryption_key, "base64");
  const [id, organization_id] = [randomUUID(), columns.organization_id ?? randomUUID()];
  const account = type === "vercel" ? "team_abc" : type === "auth0" ? `acme-${randomRef()}` : randomRef();
  const field = { supabase: "project_id", vercel: "team_id", auth0: "tenant" }[type] ?? "account_id";
  const token = `token-${randomUUID()}`;
  const config = seal(key, { organization_id, integration_id: id }, { access_token: token, [field]: account, ...plain }, () => randomBytes(12));
  const row = { id, organization_id, integration_type: type, name: account, external_account_id: account, config, ...columns };
  await sql`insert into public.integrations ${sql(row)}`;
  return { id, organization_id, account, token };
}

/** Queues a run, as "scan now" does; returns its id. */
export async function queueRun({ sql }, { id }) {
  const [{ run }] = await sql`select private.open_run(i, 'user', null, ${randomUUID()}) as run from public.integrations i where i.id = ${id}`;
  return run;
}

/** Lets a run's lease, or the time that it waits for, be over. */
export const makeDue = ({ sql }, run) => sql`update private.scan_claims set due_at = now() where assessment_id = ${run}`;

export const runOf = async ({ sql }, run) => (await sql`select * from public.assessments where id = ${run}`)[0];

/** Queues a run and lets the scanner work on it; returns the run as it stands then. */
export async function scan(fixture, integration) {
  const run = await queueRun(fixture, integration);
  await fixture.scanner.scheduled();
  return runOf(fixture, run);
}

/** An integration's findings by check: `{ check_id: [finding] }`. */
export async function findingsOf({ sql }, { id }) {
  const findings = await sql`select * from public.findings where integration_id = ${id} order by check_id, resource_id, item`;
  return Object.groupBy(findings, ({ check_id }) => check_id);
}

/** What the checks of a run saw, by check. */
export async function checksOf({ sql }, { id }) {
  const rows = await sql`select * from public.assessment_checks where assessment_id = ${id}`;
  return Object.fromEntries(rows.map((row) => [row.check_id, row]));
}

/** What a project says about TLS: the database refuses connections without it, or not. */
export const tls = (enforced) => answer(200, { currentConfig: { database: enforced }, appliedSuccessfully: true });
