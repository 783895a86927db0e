/**
 * Why a token slot did not open or was not made, where no helper has said it.
 * Source: docs/errors.md.
 * @module
 */
import { DamagedError } from "../../../errors.ts";
import type { WayInContext } from "../way-in.ts";
import type { TokenFacts } from "./helper-protocol.ts";
import { errorOf } from "./token-errors.ts";

export function noSlot({ slots = [] }: WayInContext): Error {
  const isCombined = slots.some(
    ({ header: { fields } }) =>
      fields.kind === "combined" && (fields.first.kind === "pkcs11" || fields.second.kind === "pkcs11"),
  );
  const message = isCombined
    ? "A token opens this only together with what its slot was combined with: give both."
    : "No token is enrolled here. Use another way in, and add the token then.";
  return errorOf("COFFER_TOKEN_KEY_NOT_FOUND", message, { reason: isCombined ? "combined" : "no-slot" });
}

export function notFound(seen: readonly string[]): Error {
  const there = seen.length > 0 ? ` There: ${seen.join(", ")}.` : "";
  return errorOf(
    "COFFER_TOKEN_KEY_NOT_FOUND",
    `No token that is there has a key of this vault. Insert the other token, or use another way in.${there}`,
    { stage: "find", tokensSeen: seen },
  );
}

export function wrongAnswer(): Error {
  return errorOf(
    "COFFER_TOKEN_OPERATION_FAILED",
    "The token has the key, and its answer does not open the vault: the slot was altered. Use another way in, and enrol the token again.",
    { stage: "operate", reason: "seal" },
  );
}

export function unsuitable(): Error {
  return errorOf(
    "COFFER_TOKEN_KEY_UNSUITABLE",
    "The token's private key does not belong to the public key that it shows. Make a new key on it.",
    { stage: "operate" },
  );
}

export function finalTry({ label, serial }: TokenFacts): Error {
  return errorOf(
    "COFFER_PIN_NOT_USABLE",
    "One try is left, and a PIN that was given beforehand is not risked on it. Type the PIN at a prompt, or use another way in.",
    { reason: "final-try", tokenLabel: label, serial },
  );
}

export function unnamed(): Error {
  return errorOf(
    "COFFER_TOKEN_AMBIGUOUS",
    "This opens with an AES key of a token, which cannot be recognised before the PIN is given. Name the token by its label or serial number.",
    { reason: "unnamed" },
  );
}

export function damaged(): DamagedError {
  return new DamagedError(
    "A token slot is damaged: its public key or its exchange is none. Use another way in, or a backup.",
    { details: { reason: "slot", field: "token" } },
  );
}
