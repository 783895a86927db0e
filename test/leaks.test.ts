import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { format } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import {
  type CofferErrorCode,
  createVault,
  describeVault,
  isCofferError,
  normalizePassphrase,
  openVault,
  passphrase,
  recovery,
  type Unlocker,
  type Vault,
  type VaultNotice,
} from "../src/index.ts";
import { decodeRecoveryCode } from "../src/formats/recovery-code.ts";
import { parseHeader } from "../src/formats/header.ts";
import { openRoot, wayInOf } from "../src/keystore/slots/way-in.ts";
import { VaultKeys } from "../src/keystore/vault-keys.ts";
import { canary, canaryBytes, formsOf, showsCanary } from "./canary.ts";
import { shownText } from "./shown-text.ts";
import { distUrl, scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

const scratch = scratchDirectories();

/** Keys of the sample vault, which are random and cannot be planted: found out with its recovery code. */
const found: { readonly name: string; readonly forms: RegExp }[] = [];
const notices: VaultNotice[] = [];
let directory: string;
let recoveryCode: string;

beforeAll(async () => {
  directory = join(await scratch(), "my.vault");
  const created = await createVault(directory, {
    unlock: cheapPassphrase(canary("passphrase")),
    onWarning: (notice) => notices.push(notice),
  });
  recoveryCode = created.recoveryCode;
  await created.vault.kms.createKey({ alias: "alias/one" });
  await created.vault.close();
  const header = parseHeader(await readFile(join(directory, "header.0")));
  const context = { vaultId: header.vaultId, warn: () => undefined };
  const { root } = await openRoot(header, wayInOf(recovery(recoveryCode), "unlocker"), context);
  const keys = new VaultKeys(root, header.vaultId);
  const { header: headerKey, database, name, set, material } = keys;
  const recoveryKey = decodeRecoveryCode(recoveryCode).key;
  for (const [what, key] of Object.entries({ root, headerKey, database, name, set, material, recoveryKey })) {
    found.push({ name: what, forms: formsOf(key.subarray(0, 12)) });
  }
  found.push({ name: "recovery code", forms: formsOf(Buffer.from(recoveryCode.slice(0, 24))) });
});

/** Which secrets a value shows: by name, since their text must not be printed by a failing test either. */
function leaksOf(value: unknown): string[] {
  const text = shownText(value);
  const leaks = found.filter(({ forms }) => forms.test(text)).map(({ name }) => name);
  return showsCanary(text) ? ["a planted secret", ...leaks] : leaks;
}

function open(unlock: Unlocker = recovery(recoveryCode)): Promise<Vault> {
  return openVault(directory, { unlock, onWarning: (notice) => notices.push(notice) });
}

async function withVault<T>(use: (vault: Vault) => Promise<T>): Promise<T> {
  const vault = await open();
  try {
    return await use(vault);
  } finally {
    await vault.close();
  }
}

async function rejectionOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("the call was expected to fail");
}

describe("the search for secrets in values", () => {
  test("finds them in members, in errors and below accessors", () => {
    const key = canaryBytes("search");
    expect(leaksOf({ deep: { inside: { key } } })).toEqual(["a planted secret"]);
    expect(leaksOf(new Error("outside", { cause: new Error(canary("cause")) }))).toEqual([
      "a planted secret",
    ]);
    expect(leaksOf(Object.defineProperty({}, "hidden", { value: key }))).toEqual(["a planted secret"]);
    class Keeper {
      get key(): string {
        return Buffer.from(key).toString("base64");
      }
    }
    expect(leaksOf(new Keeper())).toEqual(["a planted secret"]);
    expect(leaksOf({ code: recoveryCode })).toEqual(["recovery code"]);
    expect(leaksOf({ key: decodeRecoveryCode(recoveryCode).key })).toEqual(["recoveryKey"]);
    expect(leaksOf({ nothing: 1 })).toEqual([]);
  });
});

describe("what the package hands out", () => {
  test("shows no secret: vault and KMS, unlocked, locked, unlocked again and closed", async () => {
    const vault = await open(cheapPassphrase(canary("passphrase")));
    const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: canaryBytes("plaintext") });
    await vault.kms.decrypt({ ciphertextBlob });
    const leaks = [leaksOf(vault), leaksOf(vault.kms)];
    await vault.lock();
    leaks.push(leaksOf(vault));
    await vault.unlock(cheapPassphrase(canary("passphrase")));
    leaks.push(leaksOf(vault));
    await vault.close();
    leaks.push(leaksOf(vault), leaksOf(vault.kms));
    expect(leaks.flat()).toEqual([]);
  });

  test("shows a vault as one word, and clones of it carry no more than where it lies", async () => {
    await withVault(async (vault) => {
      expect(JSON.stringify([vault, vault.kms])).toBe('["[Vault]","[Kms]"]');
      expect(format("%s %s", vault, vault.kms)).toBe("[Vault] [Kms]");
      const { id, directory: path } = vault;
      expect(structuredClone<unknown>(vault)).toEqual({ id, directory: path, kms: {}, slots: {}, store: {} });
    });
  });

  test("shows no secret: unlockers, before and after their use", async () => {
    const unlockers = [
      passphrase(canary("string")),
      passphrase(canaryBytes("bytes")),
      recovery(recoveryCode),
      recovery(new TextEncoder().encode(recoveryCode)),
    ];
    expect(unlockers.flatMap(leaksOf)).toEqual([]);
    const [, , used] = unlockers;
    if (used !== undefined) await (await open(used)).close();
    expect(unlockers.flatMap(leaksOf)).toEqual([]);
    expect(unlockers.map((unlocker) => Object.keys(unlocker))).toEqual(unlockers.map(() => ["kind"]));
  });

  test("shows no secret: descriptions, lists, metadata and blobs", async () => {
    const plaintext = canaryBytes("plaintext", 64);
    const shown = await withVault(async ({ kms }) => {
      const { keyId } = await kms.encrypt({ plaintext });
      return [
        await kms.createKey({ description: "of the test" }),
        await kms.describeKey({ keyId }),
        await kms.listKeys(),
        await kms.listAliases(),
        await kms.encrypt({ plaintext }),
        await kms.encrypt({ plaintext, dryRun: true }),
        await kms.generateDataKey({ keySpec: "AES_256", dryRun: true }),
        await kms.generateDataKeyWithoutPlaintext({ keySpec: "AES_256" }),
        await describeVault(directory),
      ];
    });
    expect(shown.flatMap(leaksOf)).toEqual([]);
  });

  test("shows no secret: notices of opening with damage and without a recovery code", async () => {
    const copied = join(await scratch(), "damaged.vault");
    await cp(directory, copied, { recursive: true });
    await writeFile(join(copied, "header.1"), "rot");
    const damaged = await openVault(copied, {
      unlock: cheapPassphrase(canary("passphrase")),
      onWarning: (notice) => notices.push(notice),
    });
    await damaged.close();
    const { vault } = await createVault(join(await scratch(), "bare.vault"), {
      unlock: cheapPassphrase(canary("of the bare one")),
      recoveryCode: false,
      onWarning: (notice) => notices.push(notice),
    });
    await vault.close();
    expect(new Set(notices.map(({ type }) => type))).toEqual(new Set(["damage", "warning"]));
    expect(leaksOf(notices)).toEqual([]);
  });
});

describe("errors", () => {
  test("show no secret, whatever a request has where", async () => {
    const planted = new Set<string>();
    const plant = (name: string): string => {
      planted.add(name);
      return canary(name);
    };
    const members: Record<string, readonly string[]> = {
      createKey: ["alias", "description", "tags", "keySpec", "keyUsage", "origin", "dryRun"],
      describeKey: ["keyId"],
      listKeys: ["limit", "marker"],
      createAlias: ["aliasName", "targetKeyId"],
      updateAlias: ["aliasName", "targetKeyId"],
      deleteAlias: ["aliasName"],
      listAliases: ["keyId", "limit", "marker"],
      encrypt: ["keyId", "plaintext", "encryptionContext"],
      decrypt: ["keyId", "ciphertextBlob", "encryptionContext"],
      generateDataKey: ["keyId", "keySpec", "numberOfBytes", "encryptionContext"],
      generateDataKeyWithoutPlaintext: ["keyId", "keySpec", "numberOfBytes", "encryptionContext"],
      generateRandom: ["numberOfBytes"],
    };
    // Texts that are right where they stand.
    const accepted = ["createKey description", "encrypt plaintext"];
    const leaks = await withVault(async ({ kms }) => {
      const { ciphertextBlob } = await kms.encrypt({ plaintext: "known" });
      const valid: Record<string, object> = {
        createAlias: { aliasName: "alias/two", targetKeyId: "alias/one" },
        updateAlias: { aliasName: "alias/one", targetKeyId: "alias/default" },
        deleteAlias: { aliasName: "alias/two" },
        encrypt: { plaintext: "known" },
        decrypt: { ciphertextBlob },
        generateDataKey: { keySpec: "AES_256" },
        generateDataKeyWithoutPlaintext: { keySpec: "AES_256" },
        generateRandom: { numberOfBytes: 8 },
      };
      const results: string[] = [];
      const refused = async (method: string, place: string, request: unknown): Promise<void> => {
        const call = (kms as unknown as Record<string, (request: unknown) => Promise<unknown>>)[method];
        const error = await rejectionOf(() => call?.call(kms, request)).catch(() => "accepted");
        if (!(error instanceof Error)) results.push(`${method} accepts ${place}`);
        for (const leak of leaksOf(error)) results.push(`${method}, ${place}: shows ${leak}`);
      };
      for (const [method, names] of Object.entries(members)) {
        await refused(method, "a text", plant(`${method} as text`));
        await refused(method, "a list", [plant(`${method} as list`)]);
        await refused(method, "an unknown member", { ...valid[method], secret: plant(`${method} unknown`) });
        for (const name of names) {
          const place = `${method} ${name}`;
          const holders = {
            "a list of texts": [plant(`${place} list`)],
            "an object": { deep: [plant(place)] },
          };
          for (const [how, value] of Object.entries(holders)) {
            await refused(method, `${name} as ${how}`, { ...valid[method], [name]: value });
          }
          if (accepted.includes(place)) continue;
          await refused(method, `${name} as a text`, { ...valid[method], [name]: plant(`${place} text`) });
        }
      }
      return results;
    });
    expect(leaks).toEqual([]);
    expect(planted.size).toBeGreaterThan(100);
  });

  const codes = new Set<CofferErrorCode>();
  /** Each with planted secrets where a user's or an application's mistake would put them. */
  const provoked: Record<string, () => unknown> = {
    "the wrong passphrase": () => open(cheapPassphrase(canary("wrong"))),
    "a passphrase whose cost is below the floor": () => open(passphrase(canary("passphrase"))),
    "a passphrase with a line break": () => passphrase(`${canary("two")}\n${canary("lines")}`),
    "a passphrase with half a character": () => passphrase(`${canary("half")}\uD800`),
    "a passphrase that is too long": () => passphrase(canary("long").repeat(100)),
    "a passphrase of too many bytes": () => passphrase(canaryBytes("long", 2000)),
    "a passphrase in an object": () => passphrase({ secret: canary("object") } as never),
    "a normalised line break": () => normalizePassphrase(`${canary("tab")}\t`),
    "a passphrase typed for a recovery code": () => recovery(canary("typed")),
    "bytes for a recovery code": () => recovery(canaryBytes("typed", 64)),
    "a recovery code with one wrong character": () =>
      recovery(recoveryCode.slice(0, -1) + (recoveryCode.endsWith("0") ? "1" : "0")),
    "an unlocker that is a text": () => open(canary("unlocker") as never),
    "an unlocker that is an object": () =>
      open({ kind: canary("kind"), secret: canary("unlocker") } as never),
    "an option that does not exist": () =>
      openVault(directory, { unlock: recovery(recoveryCode), passphrase: canary("option") } as never),
    "options that are a text": () => openVault(directory, canary("options") as never),
    "a label that is too long": () =>
      createVault(directory, { unlock: cheapPassphrase(canary("label")), label: canary("label").repeat(30) }),
    "a recovery code to create with": () => createVault(directory, { unlock: recovery(recoveryCode) }),
    "a vault that exists": () => createVault(directory, { unlock: cheapPassphrase(canary("new")) }),
    "a vault that is not there": async () =>
      openVault(join(await scratch(), "none"), { unlock: passphrase(canary("none")) }),
    "a vault that is in use": () => withVault(() => open(cheapPassphrase(canary("passphrase")))),
    "a directory below a file": () =>
      createVault(join(directory, "header.0", "below"), { unlock: cheapPassphrase(canary("below")) }),
    "an unlocker that was used": async () => {
      const unlock = cheapPassphrase(canary("passphrase"));
      await (await open(unlock)).close();
      await open(unlock);
    },
    "an abort": () =>
      openVault(directory, { unlock: cheapPassphrase(canary("abort")), signal: AbortSignal.abort() }),
    "a recovery code of another vault": async () => {
      const other = await createVault(join(await scratch(), "other"), {
        unlock: cheapPassphrase(canary("other")),
      });
      await other.vault.close();
      await open(recovery(other.recoveryCode));
    },
    "a locked vault": () =>
      withVault(async (vault) => {
        await vault.lock();
        await vault.kms.encrypt({ plaintext: canary("locked") });
      }),
    "a closed vault": async () => {
      const vault = await open();
      await vault.close();
      await vault.kms.encrypt({ plaintext: canaryBytes("closed") });
    },
    "an unlock with the wrong passphrase": () =>
      withVault(async (vault) => {
        await vault.lock();
        await vault.unlock(cheapPassphrase(canary("wrong again")));
      }),
    "an unlock with a text": () => withVault((vault) => vault.unlock(canary("text") as never)),
    "a plaintext that is too long": () =>
      withVault(({ kms }) => kms.encrypt({ plaintext: canary("too long").repeat(1000) })),
    "a plaintext with half a character": () =>
      withVault(({ kms }) => kms.encrypt({ plaintext: `${canary("half")}\uDC00` })),
    "a plaintext given to decrypt": () =>
      withVault(({ kms }) => kms.decrypt({ ciphertextBlob: canaryBytes("not a blob", 200) })),
    "a plaintext in Base64 given to decrypt": () =>
      withVault(({ kms }) =>
        kms.decrypt({ ciphertextBlob: Buffer.from(canary("not a blob")).toString("base64") }),
      ),
    "a blob with another context": () =>
      withVault(async ({ kms }) => {
        const { ciphertextBlob } = await kms.encrypt({ plaintext: canaryBytes("context") });
        await kms.decrypt({ ciphertextBlob, encryptionContext: { purpose: canary("other context") } });
      }),
    "a blob under another key than named": () =>
      withVault(async ({ kms }) => {
        const { ciphertextBlob } = await kms.encrypt({ plaintext: canaryBytes("incorrect key") });
        await kms.decrypt({ ciphertextBlob, keyId: "alias/one" });
      }),
    "an unknown key": () =>
      withVault(({ kms }) => kms.encrypt({ keyId: "alias/none", plaintext: canary("unknown") })),
    "an alias that is taken": () => withVault(({ kms }) => kms.createKey({ alias: "alias/one" })),
    "an altered header": () =>
      openCopy(async (copied) => {
        for (const name of ["header.0", "header.1"])
          await writeFile(join(copied, name), canaryBytes("header", 700));
      }),
    "a header of a later version": () =>
      openCopy(async (copied) => {
        for (const name of ["header.0", "header.1"]) {
          const bytes = await readFile(join(copied, name));
          bytes[8] = 2;
          createHash("sha256")
            .update(bytes.subarray(0, -32))
            .digest()
            .copy(bytes, bytes.length - 32);
          await writeFile(join(copied, name), bytes);
        }
      }),
    "an older database": () =>
      openCopy(async (copied) => {
        const older = `${copied}.older`;
        await cp(join(copied, "db-1"), older, { recursive: true });
        const vault = await openVault(copied, { unlock: cheapPassphrase(canary("passphrase")) });
        await vault.kms.createKey({ alias: "alias/newer" });
        await vault.close();
        await rm(join(copied, "db-1"), { recursive: true });
        await cp(older, join(copied, "db-1"), { recursive: true });
      }),
  };

  async function openCopy(change: (copied: string) => Promise<void>): Promise<unknown> {
    const copied = join(await scratch(), "copied.vault");
    await cp(directory, copied, { recursive: true });
    await change(copied);
    return openVault(copied, { unlock: cheapPassphrase(canary("passphrase")) });
  }

  test.each(Object.keys(provoked))("show no secret: %s", async (what) => {
    const error = await rejectionOf(() => provoked[what]?.());
    expect(leaksOf(error)).toEqual([]);
    if (isCofferError(error)) codes.add(error.code);
  });

  test("were provoked with every code that a vault of this version can answer", () => {
    expect([...codes].toSorted()).toEqual([
      "COFFER_ALREADY_EXISTS",
      "COFFER_DAMAGED",
      "COFFER_INCORRECT_KEY",
      "COFFER_INVALID_ARGUMENT",
      "COFFER_INVALID_CIPHERTEXT",
      "COFFER_IO",
      "COFFER_KDF_LIMIT",
      "COFFER_LIMIT_EXCEEDED",
      "COFFER_LOCKED",
      "COFFER_NOT_FOUND",
      "COFFER_ROLLED_BACK",
      "COFFER_UNSUPPORTED_FORMAT",
      "COFFER_VAULT_EXISTS",
      "COFFER_VAULT_IN_USE",
      "COFFER_VAULT_NOT_FOUND",
      "COFFER_WRONG_SECRET",
    ]);
  });
});

describe("a process that crashes with an open vault", () => {
  const withoutNative = `import { register } from "node:module";
    register("data:text/javascript," + encodeURIComponent(\`export function resolve(name, context, next) {
      if (name === "argon2") throw new Error("cannot load argon2");
      return next(name, context);
    }\`));`;

  /** Node prints what its streams read when it debugs them; a descriptor is read without. */
  const crash = `import { readFileSync } from "node:fs";
    const { createVault, passphrase } = await import(${JSON.stringify(distUrl("index.js"))});
    const secret = readFileSync(0);
    const { vault } = await createVault(process.argv[2], { unlock: passphrase(secret), onWarning: console.log });
    const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: secret });
    console.log(vault, vault.kms, { vault });
    console.log(JSON.stringify(process.report.getReport()));
    console.log("reached");
    await vault.kms.decrypt({ ciphertextBlob, encryptionContext: { a: [secret] } });`;

  test.each([
    ["the native Argon2", ""],
    ["the WebAssembly one", withoutNative],
  ])("prints no secret, with all debug output of Node and a report, with %s", async (how, before) => {
    const folder = await scratch();
    const program = join(folder, "crash.mjs");
    await writeFile(program, `${before}\n${crash}`);
    const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) => {
      const options = {
        env: { ...process.env, NODE_DEBUG: "*", DEBUG: "*" },
        timeout: 40_000,
        maxBuffer: 2 ** 28,
      };
      const args = [program, join(folder, "my.vault")];
      const child = execFile(process.execPath, args, options, (error, stdout, stderr) => {
        resolve({ code: error?.code, output: stdout + stderr });
      });
      child.stdin?.end(canaryBytes("crash", 48));
    });
    expect(code).toBe(1);
    expect(/^reached$/mu.test(output)).toBe(true);
    expect(output.includes("WebAssembly one is used")).toBe(how === "the WebAssembly one");
    expect(output.includes("TypeError: encryptionContext")).toBe(true);
    expect(showsCanary(output)).toBe(false);
  });
});
