/**
 * What can be said of a vault without any secret.
 * @module
 */
import { hex } from "./bytes.ts";
import { isCofferError } from "./errors.ts";
import type { ParsedSlot } from "./formats/header.ts";
import { statedDate } from "./formats/stated-date.ts";
import type { SlotFields, SlotKind } from "./formats/slot-header.ts";
import type { FileSystem } from "./storage/file-system.ts";
import { readHeaderCopies } from "./storage/header-copies.ts";
import { inspectVaultLock } from "./storage/vault-lock.ts";

/** One way in, as the header lists it. */
export interface SlotDescription {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly kind: SlotKind;
  readonly label: string;
  readonly createdAt: Date;
  /** What the tokens called themselves when they were enrolled, so that a person takes the right one. */
  readonly tokens?: readonly TokenHint[];
}

/** A token as its maker and owner named it. Proves nothing. */
export interface TokenHint {
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
}

/** Who has the vault open, as its lock file says. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  readonly since: Date;
}

/** Answer of {@link describeVault}. */
export type VaultDescription =
  | { readonly exists: false }
  | {
      readonly exists: true;
      /** 32 hexadecimal digits. */
      readonly id: string;
      readonly slots: readonly SlotDescription[];
      /** Undefined while nobody has it open. */
      readonly inUseBy: LockHolder | undefined;
      /** Always false: whoever can write the directory can change what is said here. Opening the vault proves it. */
      readonly isAuthenticated: false;
    };

/** Returns what may be said of a slot to anybody. */
export function describeSlot({ header, label }: ParsedSlot): SlotDescription {
  const createdAt = statedDate(header.createdAtMs);
  const tokens = tokenHintsOf(header.fields);
  const { kind } = header.fields;
  return { id: hex(header.id), kind, label, createdAt, ...(tokens.length > 0 && { tokens }) };
}

function tokenHintsOf(fields: SlotFields): TokenHint[] {
  if (fields.kind === "combined") return [fields.first, fields.second].flatMap(tokenHintsOf);
  if (fields.kind !== "pkcs11") return [];
  const { label, serial, manufacturer, model } = fields;
  return [{ label, serial, manufacturer, model }];
}

/** Describes through a given file system; see `describeVault`. */
export async function describeVaultIn(fs: FileSystem, directory: string): Promise<VaultDescription> {
  try {
    const { header } = await readHeaderCopies(fs, directory);
    const lock = await inspectVaultLock(fs, directory);
    return {
      exists: true,
      id: hex(header.vaultId),
      slots: header.slots.map(describeSlot),
      inUseBy:
        lock.state === "held" ? { pid: lock.pid, host: lock.host, since: new Date(lock.since) } : undefined,
      isAuthenticated: false,
    };
  } catch (error) {
    if (isCofferError(error, "COFFER_VAULT_NOT_FOUND")) return { exists: false };
    throw error;
  }
}
