// User tokens as Supabase Auth makes them: ES256 under a key of the project's JWKS, with all of its claims.
//
// @supabase/lite signs with HS256 only and leaves most claims out (iss among them), so its tokens are exchanged on their
// way: those it issues for Supabase's, and Supabase's that come back for its own.
import { createLocalJWKSet, decodeJwt, importJWK, jwtVerify, SignJWT } from "jose";

const JWKS_CACHE = "public, max-age=600";

/** Options: `jwtSecret` is what @supabase/lite signs with, `signingKey` the project's private ES256 JWK. */
export async function createTokenSigner({ jwtSecret, signingKey }) {
  const { d: _, ...publicKey } = signingKey;
  const jwks = { keys: [publicKey] };
  const trusted = createLocalJWKSet(jwks);
  const privateKey = await importJWK(signingKey, "ES256");
  const secret = new TextEncoder().encode(jwtSecret);

  return {
    jwks: () => Response.json(jwks, { headers: { "cache-control": JWKS_CACHE } }),

    async translateRequest(request) {
      const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
      const payload = token && (await jwtVerify(token, trusted).then((verified) => verified.payload, () => undefined));
      // A token that is not the project's goes on as it came, to be refused.
      if (!payload) return request;
      const { sub, aud, role, email, session_id, iat, exp } = payload;
      const inner = await new SignJWT({ sub, aud, role, email, session_id, iat, exp })
        .setProtectedHeader({ alg: "HS256", typ: "JWT" })
        .sign(secret);
      const headers = new Headers(request.headers);
      headers.set("authorization", `Bearer ${inner}`);
      return new Request(request, { headers });
    },

    async translateResponse(response, issuer) {
      if (!response.headers.get("content-type")?.includes("application/json")) return response;
      const body = await response.json();
      if (typeof body?.access_token === "string") {
        body.access_token = await new SignJWT(claims(decodeJwt(body.access_token), body.user, issuer))
          .setProtectedHeader({ alg: "ES256", typ: "JWT", kid: signingKey.kid })
          .sign(privateKey);
      }
      const headers = new Headers(response.headers);
      headers.delete("content-length");
      return Response.json(body, { status: response.status, headers });
    },
  };
}

function claims(inner, user, issuer) {
  return {
    iss: issuer,
    sub: inner.sub,
    aud: inner.aud,
    exp: inner.exp,
    iat: inner.iat,
    email: inner.email ?? "",
    phone: "",
    app_metadata: user?.app_metadata ?? {},
    user_metadata: user?.user_metadata ?? {},
    role: inner.role,
    aal: "aal1",
    amr: [{ method: "password", timestamp: inner.iat }],
    session_id: inner.session_id,
    is_anonymous: false,
  };
}
