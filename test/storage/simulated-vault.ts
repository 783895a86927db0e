/**
 * A vault on a simulated disk: what is in it, and what may be in it after a crash at any step of its history.
 * @module
 */
import { isCofferError } from "../../src/errors.ts";
import { describeVaultIn } from "../../src/describe-vault.ts";
import { passphraseWith } from "../../src/keystore/slots/passphrase.ts";
import { recovery } from "../../src/keystore/slots/recovery.ts";
import type { Unlocker } from "../../src/keystore/slots/way-in.ts";
import { createVaultIn, openVaultIn, type Vault } from "../../src/vault.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import { type Cut, HOME, type SimulatedDisk } from "./simulated-disk.ts";

export const VAULT: string = `${HOME}/vault`;

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const CLOCK = { clock: (): number => 1_800_000_000_000 };

/** The passphrase of every vault here, or a wrong one, at a cost of nothing. */
export function secret(text: string = "correct horse"): Unlocker {
  return passphraseWith(text, { cost: CHEAP, floor: CHEAP });
}

/** Makes a vault on the disk, and opens it. */
export async function create(disk: SimulatedDisk): Promise<{ vault: Vault; code: string }> {
  const created = await createVaultIn(disk.environment, VAULT, { unlock: secret(), ...CLOCK });
  if (created.recoveryCode === undefined) throw new Error("expected a recovery code");
  return { vault: created.vault, code: created.recoveryCode };
}

/** Opens the disk's vault by its recovery code, which costs no KDF, or else by its passphrase. */
export function open(disk: SimulatedDisk, code?: string, notices: VaultNotice[] = []): Promise<Vault> {
  const unlock = code === undefined ? secret() : recovery(code);
  const onWarning = (notice: VaultNotice): void => void notices.push(notice);
  return openVaultIn(disk.environment, VAULT, { unlock, onWarning, ...CLOCK });
}

/** All that the vault says is in it, as one text: keys, whose material must serve, aliases, ways in. */
export async function contentsOf(disk: SimulatedDisk, vault: Vault): Promise<string> {
  const lines: string[] = [];
  const { keys } = await vault.kms.listKeys({ limit: 1000 });
  for (const { keyId } of keys) {
    const { keyMetadata } = await vault.kms.describeKey({ keyId });
    await vault.kms.encrypt({ keyId, plaintext: "opens the material" });
    lines.push(`${keyId} ${keyMetadata.keyState} ${keyMetadata.description}`);
  }
  const { aliases } = await vault.kms.listAliases({ limit: 100 });
  for (const { aliasName, targetKeyId } of aliases) lines.push(`${aliasName} ${targetKeyId}`);
  const description = await describeVaultIn(disk.fs, VAULT);
  if (description.exists) for (const { id, label } of description.slots) lines.push(`slot ${id} ${label}`);
  return lines.join("\n");
}

/** What opening came to: the contents, or the code of the error and its reason. */
export type Outcome = { readonly contents: string } | { readonly refused: string; readonly error: unknown };

/** Opens the vault and reads all of it. Rejects with anything but a `CofferError`. */
export async function inspect(
  disk: SimulatedDisk,
  code?: string,
  contents: typeof contentsOf = contentsOf,
): Promise<Outcome> {
  try {
    return { contents: await contents(disk, await open(disk, code)) };
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return { refused: [error.code, ...(error.reason === undefined ? [] : [error.reason])].join(" "), error };
  }
}

/** Inspects disks that hold the same only once: what a vault says depends on its files alone. */
export class Inspector {
  /** Disks asked for, and those opened. */
  asked = 0;
  opened = 0;
  readonly #code: string | undefined;
  readonly #inspect: (disk: SimulatedDisk, code?: string) => Promise<Outcome>;
  readonly #outcomes = new Map<string, Promise<Outcome>>();

  constructor(code?: string, inspectOne: (disk: SimulatedDisk, code?: string) => Promise<Outcome> = inspect) {
    this.#code = code;
    this.#inspect = inspectOne;
  }

  inspect(disk: SimulatedDisk): Promise<Outcome> {
    this.asked++;
    const fingerprint = disk.fingerprint();
    let outcome = this.#outcomes.get(fingerprint);
    if (outcome === undefined) {
      this.opened++;
      outcome = this.#inspect(disk, this.#code);
      this.#outcomes.set(fingerprint, outcome);
    }
    return outcome;
  }
}

/** One change or transition of a history: from its first step to the one after which it was acknowledged. */
export interface Passage {
  readonly name: string;
  readonly begun: number;
  readonly ended: number;
  /** What the vault holds from then on. */
  readonly contents: string;
}

/** Everything that was done to one disk by one process, passage by passage. */
export class History {
  readonly disk: SimulatedDisk;
  readonly passages: Passage[] = [];
  /** What may be there until the first passage has ended; undefined stands for no vault. */
  readonly before: ReadonlySet<string | undefined>;
  readonly #contentsOf: typeof contentsOf;

  constructor(
    disk: SimulatedDisk,
    before: ReadonlySet<string | undefined> = new Set([undefined]),
    read: typeof contentsOf = contentsOf,
  ) {
    this.disk = disk;
    this.before = before;
    this.#contentsOf = read;
  }

  /** Performs and records; what it returns is the open vault, or undefined when it leaves the contents alone. */
  async pass<T extends Vault | void>(name: string, perform: () => Promise<T>): Promise<T> {
    const begun = this.disk.steps;
    const vault = await perform();
    const ended = this.disk.steps;
    const contents =
      vault === undefined ? this.passages.at(-1)?.contents : await this.#contentsOf(this.disk, vault);
    if (contents === undefined) throw new Error("history: begin with an open vault");
    this.passages.push({ name, begun, ended, contents });
    return vault;
  }

  /** What a crash after this many steps may leave: what was acknowledged, or with it all of what was under way. */
  possibleAfter(steps: number): ReadonlySet<string | undefined> {
    const acknowledged = this.passages.findLast(({ ended }) => ended <= steps);
    const underWay = this.passages.filter(({ begun, ended }) => begun < steps && steps < ended);
    const before = acknowledged === undefined ? this.before : [acknowledged.contents];
    return new Set([...before, ...underWay.map(({ contents }) => contents)]);
  }

  /** Name of what was under way, for messages. */
  nameAt(steps: number): string {
    const passage = this.passages.find(({ ended }) => steps <= ended);
    return `${passage?.name ?? "the end"}, step ${steps - (passage?.begun ?? 0)}`;
  }
}

/** All states that a crash may leave between two moments of a disk: the process killed, the power cut. */
export function* crashes(
  disk: SimulatedDisk,
  from: number,
  to: number,
): Generator<Cut & { readonly steps: number }> {
  for (let steps = from; steps <= to; steps++) {
    yield { steps, kind: "killed", disk: disk.killedAfter(steps) };
    for (const cut of disk.cutsAfter(steps)) yield { steps, ...cut };
  }
}

/**
 * Inspects every crash state between two moments of a history. @returns a line for each that is bad: that does not
 * open, or holds something else than what was acknowledged, or that and all of what was under way.
 */
export async function badCrashes(
  history: History,
  inspector: Inspector,
  from: number = 0,
  to: number = history.disk.steps,
): Promise<string[]> {
  const bad: string[] = [];
  for (const { steps, kind, disk } of crashes(history.disk, from, to)) {
    const possible = history.possibleAfter(steps);
    const outcome = await inspector.inspect(disk);
    const verdict = judge(outcome, possible);
    if (verdict !== undefined) bad.push(`${history.nameAt(steps)}, ${kind}: ${verdict}`);
  }
  return bad;
}

export function judge(outcome: Outcome, possible: ReadonlySet<string | undefined>): string | undefined {
  if ("contents" in outcome) return possible.has(outcome.contents) ? undefined : "holds other contents";
  const isNone = outcome.refused === "COFFER_VAULT_NOT_FOUND" && possible.has(undefined);
  return isNone ? undefined : `refused with ${outcome.refused}`;
}
