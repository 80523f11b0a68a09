// User tokens for the project of the stack, signed right, and wrong in every way that a verifier has to notice.
import { createHmac, randomBytes, randomUUID } from "node:crypto";

import { exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";

const HOUR_S = 3600;

/** The claims Supabase Auth gives a user; `info.supabase_url` is the issuer. */
export function userClaims(info, user = { id: randomUUID() }) {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: `${info.supabase_url}/auth/v1`,
    sub: user.id,
    aud: "authenticated",
    exp: now + HOUR_S,
    iat: now,
    email: user.email ?? "",
    phone: "",
    app_metadata: { provider: "email", providers: ["email"] },
    user_metadata: {},
    role: "authenticated",
    aal: "aal1",
    amr: [{ method: "password", timestamp: now }],
    session_id: randomUUID(),
    is_anonymous: false,
  };
}

/** Signed with the key of the project's JWKS, as new projects sign. `header` overrides the protected header. */
export async function signES256(info, claims, header = {}) {
  const { kid } = info.jwks_private_key;
  return sign(claims, { alg: "ES256", typ: "JWT", kid, ...header }, await importJWK(info.jwks_private_key, "ES256"));
}

/** Signed with the project's old secret. */
export function signHS256(info, claims, header = {}) {
  return sign(claims, { alg: "HS256", typ: "JWT", ...header }, new TextEncoder().encode(info.jwt_secret));
}

/** `[name, token]` of right signatures under claims that make none a user of this project (threat model 13 and 14). */
export async function tokensWithWrongClaims(info, user) {
  const claims = userClaims(info, user);
  const now = claims.iat;
  const without = (name) => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));
  const cases = {
    "another issuer": { ...claims, iss: "https://other.example/auth/v1" },
    "no issuer": without("iss"),
    "another audience": { ...claims, aud: "other" },
    "no audience": without("aud"),
    "another role": { ...claims, role: "anon" },
    "the service role": { ...claims, role: "service_role" },
    "no role": without("role"),
    expired: { ...claims, iat: now - 2 * HOUR_S, exp: now - HOUR_S },
    "no expiry": without("exp"),
    "an expiry that is no number": { ...claims, exp: "never" },
    "not yet valid": { ...claims, nbf: now + HOUR_S },
    "no subject": without("sub"),
    "a subject that is no UUID": { ...claims, sub: "someone" },
    "an empty subject": { ...claims, sub: "" },
    "an anonymous user": { ...claims, is_anonymous: true },
  };
  return Promise.all(Object.entries(cases).map(async ([name, wrong]) => [name, await signES256(info, wrong)]));
}

/** `[name, token]` of right claims whose signature proves nothing (threat model 12); `url` is where none may send a request. */
export async function tokensWithWrongSignatures(info, user, url) {
  const claims = userClaims(info, user);
  const right = await signES256(info, claims);
  const [header, payload, signature] = right.split(".");
  const stranger = await generateKeyPair("ES256", { extractable: true });
  const strangerJwk = { ...(await exportJWK(stranger.publicKey)), alg: "ES256", use: "sig", kid: "stranger" };
  const byStranger = (extra) => sign(claims, { alg: "ES256", typ: "JWT", ...extra }, stranger.privateKey);
  const { kid } = info.jwks_private_key;
  return [
    ["no algorithm", unsecured(claims, "none")],
    ["no algorithm, in capitals", unsecured(claims, "NONE")],
    ["no algorithm, over a right signature", `${encode({ alg: "none", typ: "JWT", kid })}.${payload}.${signature}`],
    ...publicBytes(info).map(([name, bytes]) => [`HS256 under ${name}`, hmac(claims, { kid }, bytes)]),
    ["HS256 under an empty secret", hmac(claims, {}, "")],
    ["HS256 under another secret", hmac(claims, {}, randomBytes(40).toString("hex"))],
    ["another key under the right kid", await byStranger({ kid })],
    ["another key in the header", await byStranger({ kid, jwk: strangerJwk })],
    ["another key at jku", await byStranger({ kid: "stranger", jku: `${url}/jku` })],
    ["another key at x5u", await byStranger({ kid: "stranger", x5u: `${url}/x5u` })],
    ["an unknown kid", await signES256(info, claims, { kid: "unknown" })],
    ["a critical header that nobody knows", await signES256(info, claims, { crit: ["exp"], exp: claims.exp })],
    ["a changed payload", `${header}.${encode({ ...claims, sub: randomUUID() })}.${signature}`],
    ["a changed signature", `${header}.${payload}.${flip(signature)}`],
    ["a signature of zeros", `${header}.${payload}.${Buffer.alloc(64).toString("base64url")}`],
    ["no signature", `${header}.${payload}.`],
    ["two segments", `${header}.${payload}`],
    ["four segments", `${right}.${signature}`],
  ];
}

/** The forms in which a verifier might feed the public key of an asymmetric algorithm to HMAC. */
function publicBytes(info) {
  const { d: _, ...jwk } = info.jwks_private_key;
  return [
    ["the JWKS", JSON.stringify({ keys: [jwk] })],
    ["the public JWK", JSON.stringify(jwk)],
    ["the public point", Buffer.concat([Buffer.from([4]), Buffer.from(jwk.x, "base64url"), Buffer.from(jwk.y, "base64url")])],
  ];
}

function sign(claims, header, key) {
  const token = new SignJWT(claims).setProtectedHeader(header);
  return token.sign(key, header.crit && { crit: Object.fromEntries(header.crit.map((name) => [name, true])) });
}

function unsecured(claims, alg) {
  return `${encode({ alg, typ: "JWT" })}.${encode(claims)}.`;
}

/** By hand: jose refuses secrets that are too short, which is the point here. */
function hmac(claims, header, secret) {
  const input = `${encode({ alg: "HS256", typ: "JWT", ...header })}.${encode(claims)}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function flip(signature) {
  const bytes = Buffer.from(signature, "base64url");
  bytes[0] ^= 1;
  return bytes.toString("base64url");
}
