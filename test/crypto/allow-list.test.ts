import { getCiphers, getHashes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** What `crypto/` may use of node:crypto. Electron and Bun have BoringSSL instead of OpenSSL: it has all of these. */
const NAMES: Readonly<Record<string, string>> = {
  constants: "the number of a padding",
  createCipheriv: "AES-GCM only, by the algorithms below",
  createDecipheriv: "AES-GCM only, by the algorithms below",
  createECDH: "P-256 and P-384",
  createHash: "SHA-2",
  createHmac: "HMAC with SHA-2; hkdfSync would extract first and limit its info",
  createPublicKey: "SubjectPublicKeyInfo of P-256, P-384 and RSA",
  publicEncrypt: "RSA-OAEP with SHA-256",
  randomFillSync: "the system's generator",
  "type KeyObject": "a type",
  X509Certificate: "its public key alone",
};

/** BoringSSL lacks chacha20-poly1305 as a cipher, aes256-wrap, CCM, OCB, BLAKE2 and SHA-3. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  "aes-256-gcm": "the one cipher",
  sha256: "SHA-2",
  sha384: "SHA-2",
  sha512: "SHA-2",
};

/** Other modules: the fallback's thread, and Argon2id, which no runtime in question has built in. */
const MODULES = new Set(["node:crypto", "node:worker_threads", "argon2", "hash-wasm"]);

const FOLDER = new URL("../../src/crypto/", import.meta.url);
const sources = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({ name, text: readFileSync(new URL(name, FOLDER), "utf8").replaceAll(comments(), "") }));
const all = sources.map((source) => source.text).join("\n");

describe("src/crypto", () => {
  it("imports from node:crypto by name, and only what BoringSSL has too", () => {
    const names = [...all.matchAll(/import\s+\{([^}]*)\}\s+from\s+"node:crypto"/gu)].flatMap(([, list]) =>
      (list ?? "")
        .split(",")
        .map((name) => name.trim())
        .filter(Boolean),
    );
    expect([...new Set(names)].toSorted()).toEqual(Object.keys(NAMES).toSorted());
    expect(all.match(/"node:crypto"/gu)?.length).toBe(
      all.match(/import\s+\{[^}]*\}\s+from\s+"node:crypto"/gu)?.length,
    );
  });

  it("names no other algorithm of the runtime", () => {
    const known = new Set([...getCiphers(), ...getHashes()].map((name) => name.toLowerCase()));
    const named = [...all.matchAll(/"([^"\n]+)"/gu)]
      .map(([, text]) => (text ?? "").toLowerCase())
      .filter((text) => known.has(text));
    expect([...new Set(named)].toSorted()).toEqual(Object.keys(ALGORITHMS).toSorted());
  });

  it("reaches no other package or module", () => {
    const imported = [...all.matchAll(/(?:from|import\()\s*"([^"]+)"/gu)].map(([, name]) => name ?? "");
    const foreign = imported.filter((name) => !name.startsWith("."));
    expect([...new Set(foreign)].toSorted()).toEqual([...MODULES].toSorted());
    expect(all).not.toMatch(/\brequire\s*\(|globalThis\.crypto|webcrypto|\bcrypto\.subtle/u);
  });

  it("gives every cipher its tag length", () => {
    const made = [...all.matchAll(/create(?:Cipher|Decipher)iv\(([^)]*)\)/gu)].map(([, list]) => list ?? "");
    expect(made.length).toBeGreaterThanOrEqual(2);
    for (const list of made) expect(list).toMatch(/^CIPHER, .*, OPTIONS$/u);
    expect(all).toContain("const OPTIONS = { authTagLength: GCM_TAG_BYTES } as const;");
  });
});

function comments(): RegExp {
  return /\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gmu;
}
