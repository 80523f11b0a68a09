// The keys of a Supabase project, made anew at each start.
import { randomBytes } from "node:crypto";

import { exportJWK, generateKeyPair, SignJWT } from "jose";

const TEN_YEARS = "10 years";

/** All keys of one project: the old JWT keys, the new sb_ keys, and both ways of signing user tokens. */
export async function createProjectKeys() {
  const jwtSecret = randomBytes(40).toString("hex");
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const kid = randomBytes(16).toString("hex");
  return {
    jwtSecret,
    signingKey: { ...(await exportJWK(privateKey)), kid, alg: "ES256", use: "sig" },
    verificationKey: { ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" },
    anonKey: await roleToken("anon", jwtSecret),
    serviceRoleKey: await roleToken("service_role", jwtSecret),
    publishableKey: `sb_publishable_${randomBytes(24).toString("base64url")}`,
    secretKey: `sb_secret_${randomBytes(24).toString("base64url")}`,
  };
}

/** An old API key: an HS256 token that names a role and no user. */
function roleToken(role, secret) {
  return new SignJWT({ iss: "supabase", ref: "localstacklocalstack", role })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuedAt()
    .setExpirationTime(TEN_YEARS)
    .sign(new TextEncoder().encode(secret));
}
