/**
 * `coffer token list`: what tokens there are, and which of their keys can become a way in.
 * @module
 */
import { listTokens, type TokenDescription, type TokenKeyDescription } from "../../index.ts";
import { type Command, GENERAL_OPTIONS, type Invocation } from "./command.ts";
import { TOKEN_OPTIONS, tokenModuleOf } from "./token-input.ts";

export const tokenCommands: readonly Command[] = [
  {
    name: "token list",
    summary: "list the tokens of a PKCS#11 module and the keys that can open a vault; asks for no PIN",
    synopsis: "--module PATH",
    positionals: [],
    options: { ...TOKEN_OPTIONS, ...GENERAL_OPTIONS },
    notes: [
      "A key whose public half the token hides without a PIN, or without a certificate, is not seen.",
      "AES keys show themselves only after a login: name one with --key-id to slot add-token.",
    ],
    run,
  },
];

const NO_TOKEN =
  "No token is there, or another program (gpg-agent, scdaemon) holds its reader. Insert the token, or end that program.";

async function run({ args, output, signal }: Invocation): Promise<void> {
  const tokens = await listTokens({ ...tokenModuleOf(args), signal });
  await output.result({ tokens }, tokens.length === 0 ? [NO_TOKEN] : tokens.flatMap(tokenLines));
}

function tokenLines(token: TokenDescription): string[] {
  const { label, serial, manufacturer, model, keys, takesAesKeys } = token;
  const facts = [serial === "" ? undefined : `serial ${serial}`, manufacturer, model, pinState(token)];
  const told = facts.filter((fact) => fact !== undefined && fact !== "");
  return [
    `${label}: ${told.join(", ")}`,
    ...keys.map(keyLine),
    ...(keys.length === 0 ? [`  ${missingKeys(token)}`] : []),
    ...(takesAesKeys ? ["  an AES-256 key of this token can serve: slot add-token --key-id HEX"] : []),
  ];
}

function keyLine({
  keyId,
  label,
  algorithm,
  isUsable,
  missing,
  hasCertificate,
}: TokenKeyDescription): string {
  const certificate = hasCertificate ? "" : ", no certificate";
  const verdict = isUsable ? "can open a vault" : `cannot: ${missing ?? ""}`;
  return `  key ${keyId === "" ? "without an id" : keyId} "${label}", ${algorithm ?? "another kind"}${certificate}: ${verdict}`;
}

function missingKeys({ takesAesKeys }: TokenDescription): string {
  const key = "no key is seen: make a P-256 key with a certificate (on a YubiKey in slot 9d)";
  return takesAesKeys ? `${key}, or use an AES key` : key;
}

function pinState({ needsPin, pinLocked, pinFinalTry, pinLow }: TokenDescription): string {
  if (!needsPin) return "no PIN";
  if (pinLocked) return "PIN LOCKED";
  if (pinFinalTry) return "PIN: ONE TRY LEFT";
  return pinLow ? "PIN: a wrong one was given" : "PIN";
}
