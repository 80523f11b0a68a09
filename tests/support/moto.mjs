// AWS KMS on this machine: moto's server, of PyPI. It does not verify signatures; `kms/src/sign.rs` checks those against AWS's vectors.
import assert from "node:assert/strict";
import path from "node:path";

import { startChild } from "../stack/child.mjs";
import { freePort, LOOPBACK } from "../stack/listen.mjs";
import { pythonEnvironment } from "./python-environment.mjs";

const REGION = "eu-central-1";
const ACCESS_KEY_ID = "AKIDEXAMPLEAKIDEXAMPLE";

/** `{ missing }`: why it cannot be had. */
export const moto = await pythonEnvironment("python-moto", ["moto[kms,server]==5.2.5"]);

/** Starts it. `settings` are those of a worker or of keytool whose data keys the new key `arn` wraps. */
export async function startMoto(logs) {
  const port = await freePort();
  const url = `http://${LOOPBACK}:${port}`;
  const server = await startChild({
    name: "moto", command: path.join(moto.folder, "moto_server"), args: ["-H", LOOPBACK, "-p", String(port)],
    env: process.env, ready: /Running on/, logs,
  });
  /** Calls an operation, and gives its answer with its status. */
  const call = async (operation, body) => {
    const authorization = `AWS4-HMAC-SHA256 Credential=${ACCESS_KEY_ID}/20261128/${REGION}/kms/aws4_request, SignedHeaders=host, Signature=0`;
    const headers = { authorization, "content-type": "application/x-amz-json-1.1", "x-amz-target": `TrentService.${operation}` };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: answer.status, ...(await answer.json()) };
  };
  const { status, KeyMetadata } = await call("CreateKey", {});
  assert.equal(status, 200);
  const arn = KeyMetadata.Arn;
  const access = { AWS_ACCESS_KEY_ID: ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: "planted-aws-secret", KMS_URL: url };
  return {
    arn, call, stop: () => server.stop(),
    settings: { WRAPPING_KEY: `aws-kms:${arn}`, ...access },
    fallback: { FALLBACK_WRAPPING_KEY: `aws-kms:${arn}`, ...access },
  };
}
