/**
 * Tokens on the command line: which one is meant, and its PIN, from a prompt or a file.
 * @module
 */
import {
  pkcs11,
  type PinCallback,
  type PinRequest,
  type Pkcs11Options,
  type TokenModuleOptions,
} from "../../index.ts";
import { type Arguments, type OptionSpec, UsageError } from "./arguments.ts";
import { Output } from "./output.ts";
import { askSecrets } from "./terminal-prompt.ts";

/** Options that name a module and a token. */
export const TOKEN_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  module: { value: "PATH", help: "the token's PKCS#11 module, by its absolute path" },
  "module-parameters": {
    value: "TEXT",
    help: "for modules that want parameters when they start, as NSS does",
  },
  "token-label": { value: "TEXT", help: "the token, by its label" },
  "token-serial": { value: "TEXT", help: "the token, by its serial number" },
  "token-uri": { value: "URI", help: "the token and its key, by a pkcs11: URI, without a PIN or a module" },
};

/** Options that name a key as well, and where its PIN comes from. */
export const TOKEN_KEY_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...TOKEN_OPTIONS,
  "key-id": { value: "HEX", help: "the key, by its id (CKA_ID), such as 03" },
  "pin-file": {
    value: "FILE",
    readsFile: true,
    help: "take the PIN from a file (- is standard input), and not from a prompt; not sent where one try is left",
  },
};

/** True when the way in is a token. @throws UsageError where a token is meant and its module is missing. */
export function namesToken(args: Arguments): boolean {
  if (args.has("module")) return true;
  const option = Object.keys(TOKEN_KEY_OPTIONS).find((name) => args.has(name));
  if (option === undefined) return false;
  throw new UsageError(`--${option} is of a token: name its module with --module PATH`);
}

/** Which module and which token. @throws UsageError */
export function tokenModuleOf(args: Arguments): TokenModuleOptions {
  const uri = args.text("token-uri");
  if (uri !== undefined && (args.has("token-label") || args.has("token-serial") || args.has("key-id"))) {
    throw new UsageError("--token-uri says which token and key: give it alone");
  }
  return {
    module: args.required("module", "/usr/lib/x86_64-linux-gnu/libykcs11.so"),
    moduleParameters: args.text("module-parameters"),
    tokenLabel: args.text("token-label"),
    serial: args.text("token-serial"),
    uri,
  };
}

/** How a PIN file is read: as bytes, of which the caller drops the newline. */
type ReadPin = (path: string, signal: AbortSignal) => Promise<Uint8Array>;

/** Returns the options of `pkcs11` for what the line names. @throws UsageError */
export async function tokenKeyOf(
  args: Arguments,
  signal: AbortSignal,
  readPin: ReadPin,
): Promise<Pkcs11Options> {
  const pinFile = args.text("pin-file");
  return {
    ...tokenModuleOf(args),
    keyId: keyIdOf(args),
    ...tokenManners(args, signal),
    ...(pinFile !== undefined && { pin: await readPin(pinFile, signal) }),
  };
}

/** The prompt for a PIN, and what is said while the token works. */
function tokenManners(
  args: Arguments,
  signal: AbortSignal,
): Pick<Pkcs11Options, "pin" | "signal" | "onWaiting"> & { readonly pin: PinCallback } {
  const output = new Output(args.has("json"));
  return {
    pin: (request, unneeded) => askPin(request, AbortSignal.any([signal, unneeded])),
    signal,
    onWaiting: ({ label }) => output.note([`${label} is working: touch it if it blinks.`]),
  };
}

/** Returns any key of any token of the module: the slot knows its own. */
export function anyTokenOf(args: Arguments, signal: AbortSignal): ReturnType<typeof pkcs11> {
  const { module, moduleParameters } = tokenModuleOf(args);
  return pkcs11({ module, moduleParameters, ...tokenManners(args, signal) });
}

async function askPin(request: PinRequest, signal: AbortSignal): Promise<Uint8Array> {
  const [answer = ""] = await askSecrets([questionOf(request)], signal);
  return new TextEncoder().encode(answer);
}

function questionOf({ token, low, finalTry }: PinRequest): string {
  const { label, serial } = token;
  const warning = finalTry ? " LAST TRY, a wrong PIN locks it" : low ? " A wrong one was given before" : "";
  return `PIN of ${label}${serial === "" ? "" : `, serial ${serial}`} (not shown${warning === "" ? "" : `;${warning}`}):`;
}

function keyIdOf(args: Arguments): string | undefined {
  const id = args.text("key-id");
  if (id === undefined || /^(?:[0-9a-f]{2}:?){1,255}$/iu.test(id)) return id;
  throw new UsageError("--key-id takes hexadecimal digits, such as 03");
}
