/**
 * Real tokens in software: SoftHSM and NSS, each in a folder of its own.
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { pkcs11With } from "../../../../src/keystore/slots/pkcs11/pkcs11.ts";
import type { Pkcs11Options, PinRequest } from "../../../../src/keystore/slots/pkcs11/token-options.ts";
import type { Unlocker } from "../../../../src/index.ts";
import { tokenSoftware } from "../../../tokens/token-software.ts";

export const PIN = "123456-token";
export const HELPER: string = fileURLToPath(
  new URL("../../../../dist/keystore/slots/pkcs11/token-helper-child.js", import.meta.url),
);
const MAKER = fileURLToPath(new URL("make-token.mjs", import.meta.url));

/** A key to make; `pkcs8` loads one, in Base64. */
export interface KeyToMake {
  readonly kind: "ec256" | "ec384" | "ec521" | "rsa1024" | "rsa2048" | "rsa3072" | "rsa4096" | "aes";
  readonly id: string;
  readonly label?: string;
  readonly pkcs8?: string;
  readonly hidePublic?: boolean;
  /** DER in Base64. */
  readonly certificate?: string;
  readonly derive?: boolean;
}

/** What `pkcs11(…)` needs to reach a token. */
export interface TokenAccess {
  readonly module: string;
  readonly moduleParameters?: string;
  readonly env: Record<string, string>;
}

const software = await tokenSoftware();

export const SOFTHSM: string = software.softHsm;

/** Makes an empty SoftHSM in a fresh folder. */
export async function softHsm(folder: string): Promise<TokenAccess> {
  await mkdir(join(folder, "tokens"));
  const config = join(folder, "softhsm2.conf");
  const lines = [
    `directories.tokendir = ${folder}/tokens`,
    "objectstore.backend = file",
    "log.level = ERROR",
    "slots.removable = true",
  ];
  await writeFile(config, `${lines.join("\n")}\n`);
  return { module: SOFTHSM, env: { ...software.env, SOFTHSM2_CONF: config } };
}

/** Adds a token of this label, with keys. */
export async function addToken(
  access: TokenAccess,
  label: string,
  keys: readonly KeyToMake[],
  pin: string = PIN,
): Promise<void> {
  await make(access, { init: { label, pin }, pin, keys });
}

/** Makes an NSS database, which is one token called `nss`, with keys. */
export async function nss(folder: string, keys: readonly KeyToMake[]): Promise<TokenAccess> {
  const pinFile = join(folder, "pin");
  await writeFile(pinFile, `${PIN}\n`);
  await promisify(execFile)(software.certutil, ["-N", "-d", `sql:${folder}`, "-f", pinFile], {
    env: { ...process.env, ...software.env },
  });
  const moduleParameters = `configdir='sql:${folder}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= dbTokenDescription='nss'`;
  const access = { module: software.nss, moduleParameters, env: { ...software.env } };
  await make(access, { label: "nss", pin: PIN, keys });
  return access;
}

async function make({ module, moduleParameters, env }: TokenAccess, what: object): Promise<void> {
  const task = JSON.stringify({ module, parameters: moduleParameters, ...what });
  await promisify(execFile)(process.execPath, [MAKER, task], {
    env: { ...process.env, ...env },
    timeout: 60_000,
  });
}

/** Returns a token as a way in, and the PIN requests that it made. */
export function tokenOf(
  access: TokenAccess,
  options: Partial<Pkcs11Options> = {},
): { readonly unlocker: Unlocker; readonly asked: PinRequest[] } {
  const asked: PinRequest[] = [];
  const pin = (request: PinRequest): string => {
    asked.push(request);
    return PIN;
  };
  return { unlocker: pkcs11With({ ...access, pin, ...options }, { script: HELPER }), asked };
}

/** Returns a token as a way in. */
export function byToken(access: TokenAccess, options: Partial<Pkcs11Options> = {}): Unlocker {
  return tokenOf(access, options).unlocker;
}
