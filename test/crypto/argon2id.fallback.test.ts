import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const DIST = new URL("../../dist/crypto/argon2id.js", import.meta.url).href;

/** Makes the import of `argon2` fail, as it does where no prebuilt addon fits the machine. */
const WITHOUT_ARGON2 = `
  import { register } from "node:module";
  register("data:text/javascript," + encodeURIComponent(\`
    export function resolve(name, context, next) {
      if (name === "argon2") throw new Error("cannot load argon2");
      return next(name, context);
    }\`));
`;

/** Puts a package in its place that computes something else. */
const WRONG_ARGON2 = `
  import { register } from "node:module";
  register("data:text/javascript," + encodeURIComponent(\`
    export function resolve(name, context, next) {
      if (name !== "argon2") return next(name, context);
      const source = "export const argon2id = 2; export const hash = async () => Buffer.alloc(32);";
      return { url: "data:text/javascript," + encodeURIComponent(source), shortCircuit: true };
    }\`));
`;

const HASH = `
  const { argon2id, argon2Implementation } = await import(${JSON.stringify(DIST)});
  const text = (value) => new TextEncoder().encode(value);
  const hash = async (cost, signal) => Buffer.from(await argon2id({
    password: text("password"), salt: text("somesalt"), cost, lengthBytes: 32, signal,
  })).toString("hex");
`;

const SMALL = "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe";
const LARGE = "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98";

async function child(script: string, ...flags: readonly string[]): Promise<unknown> {
  const { stdout } = await run(process.execPath, [...flags, "--input-type=module", "-e", script]);
  return JSON.parse(stdout);
}

describe("without the native package, from the built files", () => {
  beforeAll(() => {
    // Fails with the path, where the package was not built.
    readFileSync(new URL(DIST));
  });

  it("hash-wasm gives the same answers, and leaves the event loop free", async () => {
    const seen = await child(`${WITHOUT_ARGON2}${HASH}
      const implementation = await argon2Implementation();
      const small = await hash({ memoryKiB: 256, passes: 2, lanes: 1 });
      let turns = 0;
      const timer = setInterval(() => turns++, 1);
      const large = await hash({ memoryKiB: 65536, passes: 1, lanes: 1 });
      clearInterval(timer);
      console.log(JSON.stringify({ implementation, small, large, free: turns > 20 }));`);
    expect(seen).toEqual({ implementation: "hash-wasm", small: SMALL, large: LARGE, free: true });
  });

  it("an abort ends the worker and rejects with its reason", async () => {
    const seen = await child(`${WITHOUT_ARGON2}${HASH}
      await argon2Implementation();
      const reason = new Error("enough");
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 50);
      const start = performance.now();
      const rejected = await hash({ memoryKiB: 65536, passes: 64, lanes: 1 }, controller.signal).catch((error) => error);
      const soon = performance.now() - start < 2000;
      console.log(JSON.stringify({ same: rejected === reason, soon }));`);
    expect(seen).toEqual({ same: true, soon: true });
  });

  it("a native package that fails its known answer is not used", async () => {
    const seen = await child(`${WRONG_ARGON2}${HASH}
      console.log(JSON.stringify([await argon2Implementation(), await hash({ memoryKiB: 256, passes: 2, lanes: 1 })]));`);
    expect(seen).toEqual(["hash-wasm", SMALL]);
  });
});

describe("where memory cannot be allocated", () => {
  const FAILING_HASH = `${HASH}
    const implementation = await argon2Implementation();
    const fail = async () => {
      const error = await hash({ memoryKiB: 524288, passes: 1, lanes: 1 }).catch((failed) => failed);
      console.log(JSON.stringify({ implementation, code: error.code ?? String(error) }));
    };`;

  it.runIf(process.platform === "linux")("argon2 answers COFFER_OUT_OF_MEMORY", async () => {
    // The limit is the process's own size plus 128 MiB, set after start, so that only the hash meets it.
    const seen = await child(`${FAILING_HASH}
      import { execFileSync } from "node:child_process";
      import { readFileSync } from "node:fs";
      const size = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
      execFileSync("prlimit", ["--pid", String(process.pid), "--as=" + (size + 128 * 2 ** 20)]);
      await fail();`);
    expect(seen).toEqual({ implementation: "argon2", code: "COFFER_OUT_OF_MEMORY" });
  });

  it("hash-wasm answers COFFER_OUT_OF_MEMORY", async () => {
    // 1,024 pages of 64 KiB: no WebAssembly memory grows past 64 MiB.
    const seen = await child(`${WITHOUT_ARGON2}${FAILING_HASH} await fail();`, "--wasm-max-mem-pages=1024");
    expect(seen).toEqual({ implementation: "hash-wasm", code: "COFFER_OUT_OF_MEMORY" });
  });
});
