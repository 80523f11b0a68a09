// packages/client: its types are those of docs/openapi.yaml, and they accept what the API accepts alone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

import ts from "typescript";

import { FILE, generated } from "./client-types.mjs";

test("the types of packages/client are generated from docs/openapi.yaml", async () => {
  assert.equal(readFileSync(FILE, "utf8"), await generated(), "run node tests/format/client-types.mjs");
});

/** What TypeScript says of a program that uses the client. */
function faults(text) {
  const name = fileURLToPath(new URL("../../packages/client/src/sample.mts", import.meta.url));
  const options = { strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, types: [] };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  const source = `import { createClient } from './index.js';\nconst client = createClient({ url: 'https://a.example', token: 't' });\n${text}`;
  host.getSourceFile = (path, ...rest) => (path === name ? ts.createSourceFile(path, source, options.target) : getSourceFile(path, ...rest));
  host.fileExists = (path) => path === name || fileExists(path);
  host.readFile = (path) => (path === name ? source : readFile(path));
  return ts.getPreEmitDiagnostics(ts.createProgram([name], options, host)).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

test("the types accept what the API accepts, and know what it answers", () => {
  assert.deepEqual(faults(`
    const read = await client.request('POST', '/api/integrations/{id}/credential', { params: { path: { id: 'i' } }, body: { form: 'sealed' } });
    const scopes: string[] | null = read.granted_scopes;
    const page = await client.request('GET', '/api/findings', { params: { query: { severity: 'high', limit: 5 } } });
    const title: string | null = page.findings[0]!.title;
    await client.request('GET', '/api/providers');
    const made = await client.request('POST', '/api/webhooks', { body: { url: 'https://r.example' } });
    const secret: string = made.secret;
    export { scopes, title, secret };`), []);
});

test("the types reject another path, method, parameter, body and member", () => {
  for (const wrong of [
    "await client.request('GET', '/api/nothing');",
    "await client.request('PUT', '/api/webhooks');",
    "await client.request('GET', '/api/integrations/{id}');",
    "await client.request('GET', '/api/findings', { params: { query: { severity: 'bad' } } });",
    "await client.request('POST', '/api/webhooks', { body: {} });",
    "(await client.request('GET', '/api/webhooks')).planted;",
  ]) {
    assert.ok(faults(`${wrong}\nexport {};`).length > 0, wrong);
  }
});
