/**
 * What a diagnosis of a vault says: findings, each a sentence, and a verdict.
 * @module
 */

/**
 * - `ok`: looked at, and in order;
 * - `note`: worth knowing, nothing to be done;
 * - `warning`: works, and something should be done;
 * - `damage`: files were altered, lost or mixed.
 */
export type FindingSeverity = "ok" | "note" | "warning" | "damage";

/** What a finding is about. */
export type VaultPart =
  | "location"
  | "header"
  | "slots"
  | "kdf"
  | "lock"
  | "modes"
  | "temporary-files"
  | "foreign-files"
  | "native-modules"
  | "database"
  | "records"
  | "mirrors"
  | "store";

/** One thing that was looked at. */
export interface VaultFinding {
  readonly severity: FindingSeverity;
  readonly part: VaultPart;
  /** What was found and what to do, without names from the disk and without secrets. */
  readonly message: string;
  /** Names in or beside the vault's directory, as the disk has them: text of a stranger, perhaps. At most 20. */
  readonly names?: readonly string[];
  /** True when it was so and is no more: repaired, and looked at again. */
  readonly isRepaired: boolean;
}

/** How many records of a kind there are. */
export interface VaultCounts {
  readonly keys: number;
  readonly keyVersions: number;
  readonly aliases: number;
  readonly tags: number;
  /** All records, mirrors and those of other kinds included. */
  readonly records: number;
}

/** Answer of `diagnoseVault`. Plain values only. */
export interface VaultDiagnosis {
  /** Canonical path. */
  readonly directory: string;
  /** 32 hexadecimal digits; undefined where no copy of the header is intact. */
  readonly id?: string;
  /** `damaged`: there is damage that is not repaired. `attention`: there is a warning. */
  readonly verdict: "sound" | "attention" | "damaged";
  /** True when every record was opened and compared; false without a way in, or where something barred the way. */
  readonly isComplete: boolean;
  /** Undefined unless the records were opened. */
  readonly counts?: VaultCounts;
  readonly findings: readonly VaultFinding[];
}

/** How far a diagnosis has come. */
export interface DiagnosisProgress {
  readonly step: "files" | "unlock" | "database" | "repair";
  /** Records read so far. */
  readonly records: number;
}

const MAX_NAMES = 20;

/** Returns a number and what it counts, as messages have it. */
export function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

interface FindingAbout {
  /** Tells findings of one part apart, from one look to the next. */
  readonly topic?: string;
  readonly names?: readonly string[];
}

/** Gathers the findings of one look at a vault. */
export class Findings {
  readonly #found = new Map<string, VaultFinding>();

  add(severity: FindingSeverity, part: VaultPart, message: string, about: FindingAbout = {}): void {
    const { topic = message, names } = about;
    this.#found.set(`${part}/${topic}`, {
      severity,
      part,
      message,
      ...(names !== undefined && { names: names.slice(0, MAX_NAMES) }),
      isRepaired: false,
    });
  }

  /** Takes over what another look at the same vault has found. */
  addAll(other: Findings): void {
    for (const [topic, finding] of other.#found) this.#found.set(topic, finding);
  }

  /** True when something of this severity was found for the part, or for any. */
  has(severity: FindingSeverity, part?: VaultPart): boolean {
    return this.list.some(
      (finding) => finding.severity === severity && (part ?? finding.part) === finding.part,
    );
  }

  get list(): readonly VaultFinding[] {
    return [...this.#found.values()];
  }

  get verdict(): VaultDiagnosis["verdict"] {
    if (this.has("damage")) return "damaged";
    return this.has("warning") ? "attention" : "sound";
  }

  /** What is found now, after what an earlier look found and this one does not: that is repaired. */
  since(earlier: Findings): readonly VaultFinding[] {
    const repaired = [...earlier.#found]
      .filter(([topic, { severity }]) => severity !== "ok" && !this.#isStillThere(topic))
      .map(([, finding]) => ({ ...finding, isRepaired: true }));
    return [...repaired, ...this.list];
  }

  #isStillThere(topic: string): boolean {
    const now = this.#found.get(topic);
    return now !== undefined && now.severity !== "ok";
  }
}
