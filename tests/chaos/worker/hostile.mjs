// Requests of strangers. None of them may be answered with anything but a refusal, nor disturb anybody else's.
import { randomBytes } from "node:crypto";
import { request as httpRequest } from "node:http";

import { signES256, userClaims } from "../../support/tokens.mjs";

const TIMEOUT_MS = 30_000;
const SIGNATURES = ["*", "A", "sig=", " ", "....", "\u00e4", "AA==", "-_-_"];

/**
 * Sends one hostile request; resolves to `{ name, status }`, status 0 where there was no answer. Whoever sends too much is
 * cut off, and may not get to read why.
 */
export async function attack({ url, info, random }) {
  const [name, options] = await random.pick(ATTACKS)({ info, random });
  const { hostname, port } = new URL(url);
  const { method = "GET", path, headers = [], body, unread = 0 } = options;
  const status = await new Promise((resolve) => {
    const request = httpRequest({ agent: false, hostname, port, method, path, headers: ["host", `${hostname}:${port}`, ...headers], setHost: false, timeout: TIMEOUT_MS });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(unread));
    request.once("response", (response) => {
      response.resume();
      response.once("error", () => resolve(0));
      response.once("close", () => resolve(response.statusCode));
    });
    request.end(body);
  });
  return { name, status };
}

const JSON_TYPE = ["content-type", "application/json"];

async function unsigned(info, random) {
  const [header, payload] = (await signES256(info, userClaims(info))).split(".");
  return `Bearer ${header}.${payload}.${encodeURI(random.pick(SIGNATURES)).replaceAll("%20", " ")}`;
}

const ATTACKS = [
  async ({ info, random }) => ["a signature that is none", { path: "/api/integrations", headers: ["authorization", await unsigned(info, random)] }],
  async ({ info, random }) => [
    "two Authorization headers",
    { path: "/api/integrations", headers: ["authorization", await unsigned(info, random), "authorization", "Bearer x.y.z"] },
  ],
  async () => ["a token of nothing", { path: "/api/integrations", headers: ["authorization", "Bearer ...."] }],
  async () => ["a session of garbage", { method: "POST", path: "/api/session", headers: JSON_TYPE, body: randomBytes(300) }],
  async () => [
    "a session of deep nesting",
    { method: "POST", path: "/api/session", headers: JSON_TYPE, body: "[".repeat(60_000) },
  ],
  async () => [
    "a body that is too large",
    { method: "POST", path: "/api/session", headers: JSON_TYPE, body: Buffer.alloc(400_000, 32), unread: 413 },
  ],
  async ({ info, random }) => [
    "a forged refresh",
    {
      method: "POST",
      path: "/api/integrations/00000000-0000-4000-8000-000000000000/refresh",
      headers: [...JSON_TYPE, "authorization", await unsigned(info, random)],
      body: "{}",
    },
  ],
  async () => ["a callback of nobody", { path: `/api/auth/callback/gitlab?code=${"x".repeat(3000)}&state=%00%ff` }],
  async () => ["cookies of garbage", { path: "/api/integrations", headers: ["cookie", `__Host-session=${"=;".repeat(500)}`] }],
];
