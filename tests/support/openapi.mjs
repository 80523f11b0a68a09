// docs/openapi.yaml as a judge: every answer of the worker that a test receives is one that it describes.
import { AssertionError } from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { Ajv2020 } from "ajv/dist/2020.js";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache", import.meta.url));

export const document = await read(new URL("../../docs/openapi.yaml", import.meta.url));

// Without the meta-schema, whose compilation takes as long as all else here: the document is not a schema, it only holds some.
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true, meta: false, validateSchema: false });
ajv.addSchema(document, "api");
const validators = new Map();

const escaped = (text) => text.replaceAll("~", "~0").replaceAll("/", "~1");
const follow = (node, pointer) =>
  node.$ref ? [node.$ref.slice(2).split("/").reduce((at, name) => at[name], document), node.$ref.slice(1)] : [node, pointer];

/** The paths, those without parameters first: `/api/auth/callback` before `/api/auth/callback/{type}`. */
const parameters = (template) => template.split("{").length;
const PATHS = Object.keys(document.paths).sort((a, b) => parameters(a) - parameters(b)).map((template) => {
  const pattern = template.replaceAll(/[.*+?^$()|[\]\\]/g, "\\$&").replaceAll(/\{\w+\}/g, "[^/]+");
  return { template, pattern: new RegExp(`^${pattern}$`) };
});

/** The validator of a response's JSON, by its pointer in the document. */
function validatorOf(pointer) {
  if (!validators.has(pointer)) validators.set(pointer, ajv.compile({ $ref: `api#${pointer}` }));
  return validators.get(pointer);
}

/** Why an answer is not as described, or undefined. `path` is the request's, `type` the answer's content type. */
export function complaint({ method, path, status, type, text }) {
  const found = PATHS.find(({ pattern }) => pattern.test(path));
  if (!found || method === "HEAD") return undefined;
  const operation = document.paths[found.template][method.toLowerCase()];
  // A method that the path does not have is answered with an error.
  const [responses, at] = operation
    ? [operation.responses, `/paths/${escaped(found.template)}/${method.toLowerCase()}/responses`]
    : [{ default: { $ref: "#/components/responses/Error" } }, ""];
  if (!responses[status] && status < 400) return `status ${status} is not described`;
  const name = responses[status] ? status : "default";
  const [response, pointer] = follow(responses[name], `${at}/${name}`);
  if (!response.content) return undefined;
  const media = type?.split(";")[0] ?? "";
  // The runtime answers in its own words where the worker has crashed.
  if (status >= 500 && media !== "application/json") return undefined;
  if (!response.content[media]) return `content type ${media} is not described`;
  if (media !== "application/json") return undefined;
  const validate = validatorOf(`${pointer}/content/${escaped(media)}/schema`);
  if (validate(JSON.parse(text))) return undefined;
  return validate.errors.map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`).join("; ");
}

/** Fails where the worker answered what docs/openapi.yaml does not describe. */
export function assertDescribed(answer) {
  const reason = complaint(answer);
  if (!reason) return;
  const { method, path, status, text } = answer;
  throw new AssertionError({ message: `${method} ${path}: ${status} is not as docs/openapi.yaml describes it: ${reason}\n${text.slice(0, 1000)}` });
}

/** The document. Parsing takes a third of a second in each test file, so the first one keeps the result as JSON, under the hash of the text. */
async function read(file) {
  const text = readFileSync(file, "utf8");
  const kept = path.join(CACHE, `openapi-${createHash("sha256").update(text).digest("hex").slice(0, 16)}.json`);
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, "utf8"));
  const parsed = (await import("yaml")).parse(text);
  mkdirSync(CACHE, { recursive: true });
  const draft = `${kept}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(parsed));
  renameSync(draft, kept);
  return parsed;
}
