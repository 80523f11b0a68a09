// OAuth clients at the stack's authorization server, registered as RFC 7591 describes.

/** Registers a client with these redirect URIs: `{ client_id, client_secret }`. */
export async function registerClient(info, redirectUris, name = "Sealed integrations") {
  const response = await fetch(`${info.authorization_server_url}/reg`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      client_name: name,
      redirect_uris: redirectUris,
      grant_types: ["authorization_code", "refresh_token"],
    }),
  });
  const body = await response.json();
  if (response.status !== 201) throw new Error(`the registration answered ${response.status}: ${JSON.stringify(body)}`);
  return { client_id: body.client_id, client_secret: body.client_secret };
}
