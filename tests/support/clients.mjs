// OAuth clients at the stack's authorization server, registered as RFC 7591 describes.

/** Registers a client with these redirect URIs: `{ client_id, client_secret }`. `method`: how it authenticates, if not with HTTP Basic. */
export function registerClient(info, redirectUris, name = "Sealed integrations", method = "client_secret_basic") {
  return register(info, {
    client_name: name,
    token_endpoint_auth_method: method,
    redirect_uris: redirectUris,
    grant_types: ["authorization_code", "refresh_token"],
  });
}

/** Registers a client that gets tokens for itself. */
export async function registerMachine(info) {
  const grant_types = ["client_credentials"];
  const client = await register(info, { client_name: "A machine", redirect_uris: [], response_types: [], grant_types });
  return {
    ...client,
    /** The provider forgets it. */
    async remove() {
      const headers = { authorization: `Bearer ${client.registration_access_token}` };
      const { status } = await fetch(client.registration_client_uri, { method: "DELETE", headers });
      if (status !== 204) throw new Error(`removing the client was answered with ${status}`);
    },
  };
}

async function register(info, metadata) {
  const response = await fetch(`${info.authorization_server_url}/reg`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(metadata),
  });
  const body = await response.json();
  if (response.status !== 201) throw new Error(`the registration answered ${response.status}: ${JSON.stringify(body)}`);
  const { client_id, client_secret, registration_client_uri, registration_access_token } = body;
  return { client_id, client_secret, registration_client_uri, registration_access_token };
}
