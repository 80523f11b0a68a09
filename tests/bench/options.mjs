// What every bench's command line has in common: --json, and numbers from 1 to a limit.
import { parseArgs } from "node:util";

/** Reads the process's arguments. `limits` says how large a number may be, by its name; a wrong one ends the process with 2. */
export function parseOptions(options, limits) {
  try {
    const { values } = parseArgs({ allowNegative: true, options: { json: { type: "boolean", default: false }, ...options } });
    const numbers = Object.entries(limits).map(([name, most]) => {
      const number = Number(values[name]);
      if (!Number.isInteger(number) || number < 1 || number > most) throw new Error(`--${name} must be from 1 to ${most}`);
      return [name, number];
    });
    return { ...values, ...Object.fromEntries(numbers) };
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(2);
  }
}
