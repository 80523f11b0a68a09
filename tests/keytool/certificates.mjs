// Certificates for a server of the tests: an authority, and what it says of a server. X.509 in as much DER as that takes (RFC 5280).
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

const OID = { commonName: [0x55, 4, 3], basicConstraints: [0x55, 0x1d, 0x13], altName: [0x55, 0x1d, 0x11], ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] };
const DAY_MS = 86_400_000;

/** An authority: `{ pem, issue({ dns, ip, days }) }`; `issue` gives a server's `{ pem, keyPem }`, valid from yesterday for so many days. */
export function createAuthority(name) {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certify = (subject, publicKey, extensions, days) => {
    const tbs = sequence(
      tagged(0, integer([2])), integer([1, ...randomBytes(8)]), sequence(oid(OID.ecdsaWithSha256)), nameOf(name),
      sequence(utcTime(Date.now() - DAY_MS), utcTime(Date.now() + (days - 1) * DAY_MS)), nameOf(subject),
      publicKey.export({ type: "spki", format: "der" }), tagged(3, sequence(...extensions)),
    );
    const signature = sign("sha256", tbs, keys.privateKey);
    return toPem("CERTIFICATE", sequence(tbs, sequence(oid(OID.ecdsaWithSha256)), bits(signature)));
  };
  const constraints = (isAuthority) => sequence(oid(OID.basicConstraints), boolean(true), octets(sequence(...(isAuthority ? [boolean(true)] : []))));
  return {
    pem: certify(name, keys.publicKey, [constraints(true)], 3650),
    issue({ dns, ip, days = 3650 }) {
      const server = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const names = [...(dns ? [der(0x82, Buffer.from(dns))] : []), ...(ip ? [der(0x87, Buffer.from(ip.split(".").map(Number)))] : [])];
      const extensions = [constraints(false), sequence(oid(OID.altName), octets(sequence(...names)))];
      return { pem: certify("server", server.publicKey, extensions, days), keyPem: server.privateKey.export({ type: "pkcs8", format: "pem" }) };
    },
  };
}

function der(tag, ...parts) {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts) => der(0x30, ...parts);
const integer = (bytes) => der(0x02, bytes);
const boolean = (value) => der(0x01, [value ? 0xff : 0]);
const oid = (bytes) => der(0x06, bytes);
const octets = (part) => der(0x04, part);
const bits = (bytes) => der(0x03, [0], bytes);
const tagged = (number, part) => der(0xa0 + number, part);
const nameOf = (name) => sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from(name)))));
/** YYMMDDhhmmssZ. */
const utcTime = (at) => der(0x17, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, "").slice(2, 14)}Z`));

function toPem(label, bytes) {
  return `-----BEGIN ${label}-----\n${bytes.toString("base64").match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;
}
