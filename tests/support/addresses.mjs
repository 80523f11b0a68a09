// Where a client comes from, as Cloudflare tells the worker in CF-Connecting-IP: the worker counts attempts by it.
import { randomBytes } from "node:crypto";

/** A client's header, with an address (RFC 3849) in a network of its own. */
export function fromElsewhere() {
  const network = randomBytes(4).toString("hex").replace(/(.{4})/g, "$1:");
  return { "cf-connecting-ip": `2001:db8:${network}:1` };
}
