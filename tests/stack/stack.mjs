// The local stack: all that a Supabase project and an authorization server are, on free ports of loopback.
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import path from "node:path";

import { createProjectKeys } from "./keys.mjs";
import { migrate } from "./migrate.mjs";
import { startPostgres } from "./postgres.mjs";
import { startRest } from "./rest.mjs";
import { startThread } from "./thread.mjs";

const DEMO_EMAIL = "demo@example.com";
const CALLBACKS = ["/api/auth/callback", "/api/auth/callback/supabase"];

/**
 * Starts everything but the worker. `maxRows` is the project's "Max rows", by default Supabase's 1,000. `log(line)` hears of each step, `onExit(error)` of a server that ended by itself.
 * Returns `{ info, crashDatabase(signal), stop() }`, as postgres.mjs says; when a server does not start, those that did are stopped and the error is thrown.
 */
export async function startStack({ dir, appUrl, maxRows, log = () => {}, onExit = () => {} }) {
  mkdirSync(dir, { recursive: true });
  const logs = path.join(path.resolve(dir), "logs");
  const started = [];
  const starting = [];
  const track = (promise) => {
    const tracked = promise.then((server) => (started.push(server), server));
    starting.push(tracked);
    return tracked;
  };
  const stop = async () => {
    // In the reverse order: those that use the database go before it.
    while (started.length) await started.pop().stop();
  };

  try {
    const { info, database } = await assemble({ dir, appUrl, maxRows, logs, log, onExit, track });
    return { info, crashDatabase: database.crash, stop };
  } catch (error) {
    await Promise.allSettled(starting);
    await stop();
    throw error;
  }
}

async function assemble({ dir, appUrl, maxRows, logs, log, onExit, track }) {
  const keys = await createProjectKeys();
  const { jwtSecret, signingKey, verificationKey } = keys;
  const newClient = () => ({ client_id: randomUUID(), client_secret: randomBytes(24).toString("base64url") });
  const [client, machine] = [newClient(), newClient()];
  const mail = path.join(path.resolve(dir), "mail");

  const [project, authorizationServer] = await Promise.all([
    startProject(),
    track(startAuthorizationServer()),
  ]);
  log("authorization server is up");

  async function startProject() {
    const database = await track(startPostgres({ dir: path.resolve(dir), logs, onExit }));
    log("database is up");
    const github = newClient();
    const provider = await track(startThread({ name: "sign-in-provider", module: "./sign-in-provider.mjs", options: github, logs, onExit }));
    const auth = await track(
      startThread({
        name: "auth",
        module: "./auth.mjs",
        options: {
          databaseUrl: database.url("supabase_auth_admin"), jwtSecret, signingKey, github: { ...github, ...provider.value }, mail,
        },
        logs,
        onExit,
      }),
    );
    const applied = await migrate(database.url("postgres"));
    log(`${applied.length} migrations are applied`);
    const rest = await track(startRest({ databaseUrl: database.url("authenticator"), jwtSecret, verificationKey, maxRows, logs, onExit }));
    const gateway = await track(
      startThread({
        name: "gateway",
        module: "./gateway.mjs",
        options: {
          keys,
          routes: [
            { prefix: "/rest/v1", upstream: rest.url, path: "" },
            { prefix: "/auth/v1", upstream: auth.value.url, path: "/auth/v1" },
          ],
        },
        logs,
        onExit,
      }),
    );
    log("Supabase's API is up");
    const user = await createUser(gateway.value.url, keys.publishableKey);
    return { database, url: gateway.value.url, user };
  }

  function startAuthorizationServer() {
    const redirect_uris = CALLBACKS.map((callback) => appUrl + callback);
    const grant_types = ["authorization_code", "refresh_token"];
    const clients = [
      { ...client, client_name: "Sealed integrations", redirect_uris, grant_types },
      {
        ...machine, client_name: "A machine", redirect_uris: [], response_types: [], grant_types: ["client_credentials"],
        token_endpoint_auth_method: "client_secret_post",
      },
    ];
    const name = "authorization-server";
    return startThread({ name, module: `./${name}.mjs`, options: { clients }, logs, onExit });
  }

  const info = {
    app_url: appUrl,
    supabase_url: project.url,
    anon_key: keys.anonKey,
    service_role_key: keys.serviceRoleKey,
    publishable_key: keys.publishableKey,
    secret_key: keys.secretKey,
    jwt_secret: jwtSecret,
    jwks_private_key: signingKey,
    database_url: project.database.url("postgres"),
    authorization_server_url: authorizationServer.value.url,
    ...client,
    machine,
    encryption_key: randomBytes(32).toString("base64"),
    user: project.user,
    logs,
    mail,
  };
  return { info, database: project.database };
}

async function createUser(url, apikey) {
  const user = { email: DEMO_EMAIL, password: randomBytes(9).toString("base64url") };
  const response = await fetch(`${url}/auth/v1/signup`, {
    method: "POST",
    headers: { apikey, "content-type": "application/json" },
    body: JSON.stringify(user),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(`the demo user was not created: ${JSON.stringify(body)}`);
  return { ...user, id: body.user.id };
}
