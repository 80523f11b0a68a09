// Child processes that never outlive the stack.
//
// Each child leads a process group of its own: Ctrl-C in a terminal then reaches the stack alone, which stops its
// servers in order. Should the stack itself be killed (kill -9), nobody is left to do that, so beside each child waits
// a shell that reads a pipe from the stack: the pipe closes with the stack, and the shell ends the child's group.
import { spawn } from "node:child_process";

import { openLog } from "./logs.mjs";

const GRACE_MS = 5000;

/**
 * Starts a program and waits until a line of its output matches `ready`.
 * `onExit(error)` is called when it ends without having been asked to; an abort of `signal` ends the wait, and it.
 * `scratch` is a directory that is worth nothing without it.
 * Returns `{ match, pid, stop(), kill(signal) }`, `match` being what `ready` found; `kill` ends it by this signal, whatever it is doing.
 */
export async function startChild({ name, command, args, logs, ready, onExit, signal, ...rest }) {
  const { stopSignal = "SIGTERM", scratch = "", ...options } = rest;
  const log = openLog(logs, name);
  const child = spawn(command, args, { ...options, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `exit status ${code}`));
  });
  log.pipe(child.stdout);
  log.pipe(child.stderr);
  const guard = child.pid === undefined ? undefined : startGuard(child.pid, stopSignal, scratch);

  let stopping = false;
  const kill = async (signal) => {
    stopping = true;
    guard?.release();
    signalGroup(child.pid, signal);
    await ended;
  };
  const stop = async () => {
    const timer = setTimeout(() => signalGroup(child.pid, "SIGKILL"), GRACE_MS);
    await kill(stopSignal);
    clearTimeout(timer);
  };

  const failed = ended.then((reason) => {
    guard?.release();
    throw new Error(`${name} ended (${reason}), see ${log.file}\n${log.tail()}`);
  });
  try {
    const match = await Promise.race([firstMatch(child, ready), failed, aborted(signal)]);
    failed.catch((error) => stopping || onExit?.(error));
    return { match, pid: child.pid, stop, kill };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Runs a program to its end; throws with the end of its output when it fails. */
export async function runChild({ name, command, args, logs, ...options }) {
  const log = openLog(logs, name);
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  log.pipe(child.stdout);
  log.pipe(child.stderr);
  const code = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`${name} failed (exit status ${code}), see ${log.file}\n${log.tail()}`);
}

function firstMatch(child, pattern) {
  return new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      let text = "";
      const look = (chunk) => {
        text += chunk;
        const match = pattern.exec(text);
        if (!match) return;
        stream.off("data", look);
        resolve(match);
      };
      stream.on("data", look);
    }
  });
}

function aborted(signal) {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

const GUARD = `
  read -r _
  kill -s "$1" -- "-$2"; sleep 5; kill -s KILL -- "-$2"
  [ -z "$3" ] || rm -rf -- "$3"`;

function startGuard(pid, signal, scratch) {
  const guard = spawn("sh", ["-c", GUARD, "guard", signal.replace("SIG", ""), String(pid), scratch], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  guard.stdin.on("error", () => {});
  guard.unref();
  return { release: () => guard.kill("SIGKILL") };
}

function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}
