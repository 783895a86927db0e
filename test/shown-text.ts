/**
 * All the text that a program can make of a value without meaning to show what is inside.
 * @module
 */
import { Console } from "node:console";
import { Writable } from "node:stream";
import { format, inspect } from "node:util";

const EVERYTHING = {
  depth: Number.POSITIVE_INFINITY,
  showHidden: true,
  getters: true,
  maxArrayLength: null,
  maxStringLength: null,
} as const;

/** Returns what inspect, console.log, JSON, String, a spread, a structured clone and a walk over all members show. */
export function shownText(value: unknown): string {
  const texts = [
    inspect(value),
    inspect(value, EVERYTHING),
    inspect(value, { ...EVERYTHING, customInspect: false }),
    logged(value),
    format("%s %o %O %j", value, value, value, value),
    JSON.stringify(value) ?? "",
    JSON.stringify({ nested: [value] }),
    String(value),
    walked(value, new Set()).join("\n"),
  ];
  if (typeof value === "object" && value !== null) {
    texts.push(inspect({ ...value }, EVERYTHING), JSON.stringify({ ...value }));
    texts.push(inspect(Object.assign({}, value), EVERYTHING));
  }
  try {
    texts.push(inspect(structuredClone(value), { ...EVERYTHING, customInspect: false }));
  } catch {
    // What cannot be cloned carries nothing away.
  }
  return texts.join("\n");
}

/** What `console` prints, on both streams. */
function logged(value: unknown): string {
  let text = "";
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const printer = new Console({ stdout: sink, stderr: sink });
  printer.log(value);
  printer.error("%s", value);
  printer.dir(value, { depth: 9, showHidden: true });
  printer.table([value]);
  printer.trace(value);
  return text;
}

/** Names and values of own members, hidden ones and symbols too, and of inherited accessors, as deep as they go. */
function walked(value: unknown, seen: Set<unknown>): string[] {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return [String(value)];
  if (seen.has(value)) return [];
  seen.add(value);
  if (value instanceof Uint8Array) return [Buffer.from(value).toString("hex")];
  if (value instanceof Map || value instanceof Set) return [...value].flatMap((item) => walked(item, seen));
  const texts: string[] = [];
  for (
    let level: object | null = value;
    level !== null;
    level = Object.getPrototypeOf(level) as object | null
  ) {
    if (level === Object.prototype || level === Function.prototype) break;
    for (const name of Reflect.ownKeys(level)) {
      const isAccessor = Object.getOwnPropertyDescriptor(level, name)?.get !== undefined;
      if (level !== value && !isAccessor) continue;
      try {
        texts.push(String(name), ...walked(Reflect.get(value, name), seen));
      } catch {
        // An accessor that refuses shows nothing.
      }
    }
  }
  return texts;
}
