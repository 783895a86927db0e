/**
 * The doctor: looks at everything of a vault, says what it finds, and repairs what redundancy proves.
 * @module
 */
import { boolean, custom, function_, instance, optional, safeParse, strictObject } from "valibot";
import { compare, copy, hex } from "./bytes.ts";
import type { Argon2Floor } from "./crypto/argon2id.ts";
import { selfTest } from "./crypto/self-test.ts";
import { type ContentsDiagnosis, diagnoseContents } from "./diagnose-contents.ts";
import { diagnoseFiles, type FilesDiagnosis } from "./diagnose-files.ts";
import { diagnoseStore, type StoreDiagnosis } from "./diagnose-store.ts";
import { type DiagnosisProgress, Findings, type VaultDiagnosis } from "./diagnosis.ts";
import { type RepairNote, repairModes, repairVault } from "./diagnosis-repair.ts";
import { isCofferError, VaultNotFoundError } from "./errors.ts";
import type { ParsedHeader } from "./formats/header.ts";
import { openRoot, type Unlocker, WayIn } from "./keystore/slots/way-in.ts";
import { VaultKeys } from "./keystore/vault-keys.ts";
import { wipe } from "./secret.ts";
import { hasErrno, nodeFileSystem } from "./storage/file-system.ts";
import { ioError } from "./storage/io-error.ts";
import { openLevelStore } from "./storage/level-store.ts";
import { inspectHeaderCopies } from "./storage/header-inspection.ts";
import { inspectVaultLock } from "./storage/vault-lock.ts";
import type { VaultEnvironment } from "./vault-opening.ts";
import { assertDirectory } from "./vault-options.ts";

/** Options of {@link diagnoseVault}. */
export interface DiagnoseVaultOptions {
  /** A way in; serves once, and is wiped. Without it no record can be checked. */
  readonly unlock?: Unlocker;
  /**
   * Mends what can be proven: header copies from each other, records and mirrors from each other, leftovers, modes.
   * Of a damaged file index it keeps what opens, one name where two lead to the same, and what was to be
   * removed; contents and directories without a name get one in `lost+found`.
   * All but modes needs `unlock`. @defaultValue false
   */
  readonly repair?: boolean;
  readonly onProgress?: (progress: DiagnosisProgress) => void;
  /** For the repair, as for openVault: milliseconds since 1970. @defaultValue Date.now */
  readonly clock?: () => number;
  readonly signal?: AbortSignal;
}

/** What a diagnosis stands on; other values than the defaults are for tests. */
export interface DiagnosisEnvironment extends VaultEnvironment {
  /** The built script of the process that runs LevelDB. */
  readonly childScript?: URL;
  readonly childTimeLimitMs?: number;
  /** The least cost of a passphrase that is in order. */
  readonly kdfFloor?: Argon2Floor;
  readonly monotonicMs?: () => number;
}

const NODE_ENVIRONMENT: DiagnosisEnvironment = {
  fs: nodeFileSystem,
  openEngine: openLevelStore,
};

const OPTIONS = strictObject({
  unlock: optional(custom<Unlocker>((value) => value instanceof WayIn, "expected a way in")),
  repair: optional(boolean("expected a boolean")),
  onProgress: optional(function_("expected a function")),
  clock: optional(function_("expected a function")),
  signal: optional(instance(AbortSignal, "expected an AbortSignal")),
});

/**
 * Says how a vault is: each finding in a sentence with what to do. Without `unlock` it looks at the header, the lock,
 * modes, leftovers and whether LevelDB reads the database; with it also at every record, and at the beginning and the
 * length of every stored file. Changes nothing without
 * `repair`, and works on a copy of the database, in a process without keys, so that no damage ends this one.
 *
 * A vault that is open elsewhere is not looked into. Damage is a finding, never an error.
 * @throws VaultNotFoundError, WrongSecretError, InvalidArgumentError for a recovery code of another vault, IoError;
 *   `signal.reason` of an abort.
 * @example
 * const { verdict, findings } = await diagnoseVault("./my.vault", { unlock: passphrase(typed) });
 */
export async function diagnoseVault(
  directory: string,
  options: DiagnoseVaultOptions = {},
): Promise<VaultDiagnosis> {
  return diagnoseVaultIn(NODE_ENVIRONMENT, directory, options);
}

/** {@link diagnoseVault} on other ground. Not exported by the package. */
export async function diagnoseVaultIn(
  environment: DiagnosisEnvironment,
  directory: string,
  options: DiagnoseVaultOptions = {},
): Promise<VaultDiagnosis> {
  assertDirectory(directory);
  assertDiagnoseOptions(options);
  selfTest();
  const doctor = new Doctor(environment, await canonicalDirectory(environment, directory), options);
  try {
    return await doctor.diagnose();
  } finally {
    doctor.end();
  }
}

interface Look {
  readonly findings: Findings;
  readonly files: FilesDiagnosis;
  readonly contents: ContentsDiagnosis | undefined;
  readonly store?: StoreDiagnosis;
}

/** The root key and how long it took; or why it was not tried. */
type OpenedRoot = { readonly bytes: Uint8Array; readonly ms: number } | { readonly refusal: string };

/** One diagnosis. */
class Doctor {
  readonly #environment: DiagnosisEnvironment;
  readonly #directory: string;
  readonly #options: DiagnoseVaultOptions;
  readonly #wayIn: WayIn | undefined;
  /** What the slots answered, once: an unlocker serves once, and what it costs is paid once. */
  #root: OpenedRoot | undefined;

  constructor(environment: DiagnosisEnvironment, directory: string, options: DiagnoseVaultOptions) {
    this.#environment = environment;
    this.#directory = directory;
    this.#options = options;
    this.#wayIn = options.unlock instanceof WayIn ? options.unlock : undefined;
  }

  async diagnose(): Promise<VaultDiagnosis> {
    const first = await this.#look();
    if (this.#options.repair !== true) return this.#answer(first, first.findings.list);
    const notes = await this.#repair(first);
    const second = await this.#look();
    for (const [number, { part, message }] of notes.entries()) {
      second.findings.add("note", part, message, { topic: `repair ${number}` });
    }
    return this.#answer(second, second.findings.since(first.findings));
  }

  end(): void {
    this.#wayIn?.wipe();
    if (this.#root !== undefined && "bytes" in this.#root) wipe(this.#root.bytes);
  }

  #answer({ findings, files, contents }: Look, list: VaultDiagnosis["findings"]): VaultDiagnosis {
    return {
      directory: this.#directory,
      ...(files.header !== undefined && { id: hex(files.header.vaultId) }),
      verdict: findings.verdict,
      isComplete: contents?.isComplete ?? false,
      ...(contents?.counts !== undefined && { counts: contents.counts }),
      findings: list,
    };
  }

  async #look(): Promise<Look> {
    const { fs, kdfFloor, childScript, childTimeLimitMs } = this.#environment;
    const { signal } = this.#options;
    const findings = new Findings();
    signal?.throwIfAborted();
    this.#progress("files");
    const files = await diagnoseFiles(fs, this.#directory, findings, kdfFloor);
    const { header, lock } = files;
    if (header === undefined) return { findings, files, contents: undefined };
    const keys = await this.#keysFor(header, findings);
    try {
      // What a living process writes meanwhile would look like damage.
      if (lock.state === "held") {
        if (keys !== undefined) findings.add("warning", "records", IN_USE, { topic: "in use" });
        return { findings, files, contents: undefined };
      }
      this.#progress("database");
      const inner = new Findings();
      const contents = await diagnoseContents({
        fs,
        directory: this.#directory,
        header,
        contents: files.contents,
        findings: inner,
        keys,
        child: {
          ...(childScript !== undefined && { script: childScript }),
          ...(childTimeLimitMs !== undefined && { timeLimitMs: childTimeLimitMs }),
        },
        onProgress: ({ records }) => this.#progress("database", records),
        signal,
      });
      const { objects: expected } = contents;
      const store = await diagnoseStore({
        fs,
        directory: this.#directory,
        findings: inner,
        expected,
        signal,
      });
      if (await this.#wasChanged(header)) {
        findings.add("warning", "records", IN_USE, { topic: "in use" });
        return { findings, files, contents: undefined };
      }
      findings.addAll(inner);
      return { findings, files, contents, store };
    } finally {
      keys?.wipe();
    }
  }

  async #keysFor(header: ParsedHeader, findings: Findings): Promise<VaultKeys | undefined> {
    if (this.#wayIn === undefined) return undefined;
    this.#root ??= await this.#open(header, this.#wayIn);
    if ("refusal" in this.#root) {
      const message = `The way in was not tried, so no record was checked: ${this.#root.refusal}`;
      findings.add("warning", "kdf", message, { topic: "refused" });
      return undefined;
    }
    const { bytes, ms } = this.#root;
    if (this.#wayIn.kind === "passphrase") {
      const message = `Trying the passphrase took ${Math.round(ms)} ms on this machine.`;
      findings.add("note", "kdf", message, { topic: "time" });
    }
    return new VaultKeys(copy(bytes), header.vaultId);
  }

  async #open(header: ParsedHeader, wayIn: WayIn): Promise<OpenedRoot> {
    const now = this.#environment.monotonicMs ?? ((): number => performance.now());
    const { vaultId } = header;
    this.#progress("unlock");
    const startedMs = now();
    try {
      const { signal } = this.#options;
      const { root } = await openRoot(header, wayIn, { vaultId, signal, warn: () => undefined });
      return { bytes: root, ms: now() - startedMs };
    } catch (error) {
      if (!isCofferError(error, "COFFER_KDF_LIMIT") && !isCofferError(error, "COFFER_OUT_OF_MEMORY"))
        throw error;
      return { refusal: error.message };
    }
  }

  /** True when somebody has opened or changed the vault since the header was read. */
  async #wasChanged(header: ParsedHeader): Promise<boolean> {
    const { fs } = this.#environment;
    if ((await inspectVaultLock(fs, this.#directory)).state === "held") return true;
    const copies = await inspectHeaderCopies(fs, this.#directory);
    return !copies.some(
      (copy) => copy.condition === "good" && compare(copy.header.bytes, header.bytes) === 0,
    );
  }

  /** Returns what to say of it, if anything. */
  async #repair({ files, contents, store }: Look): Promise<readonly RepairNote[]> {
    this.#progress("repair");
    await repairModes(this.#environment.fs, this.#directory, files.access);
    if (this.#wayIn === undefined) return [{ part: "header", message: NEEDS_WAY_IN }];
    if (this.#root === undefined || !("bytes" in this.#root)) return [];
    if (files.lock.state === "held" || contents?.isComplete !== true) return [];
    return repairVault({
      environment: this.#environment,
      directory: this.#directory,
      clock: this.#options.clock ?? Date.now,
      root: this.#root.bytes,
      files,
      contents,
      hasOrphans: store?.hasOrphans === true,
      signal: this.#options.signal,
    });
  }

  #progress(step: DiagnosisProgress["step"], records = 0): void {
    this.#options.onProgress?.({ step, records });
  }
}

const NEEDS_WAY_IN =
  "Only modes are repaired without a way in, since nothing else can be proven. Give one to repair the rest.";
const IN_USE =
  "The records were not checked, because a program has the vault open or changed it meanwhile. Close it there and try again.";

async function canonicalDirectory({ fs }: DiagnosisEnvironment, directory: string): Promise<string> {
  try {
    const canonical = await fs.realpath(directory);
    if ((await fs.stat(canonical)).kind === "directory") return canonical;
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR"))
      throw ioError(error, "look at the vault's directory", directory);
  }
  throw new VaultNotFoundError(
    "There is no vault in this place: it is absent, or no directory. Check the path.",
  );
}

/** @throws TypeError naming the option. */
function assertDiagnoseOptions(options: DiagnoseVaultOptions): void {
  const result = safeParse(OPTIONS, options);
  if (result.success) return;
  const [issue] = result.issues;
  const path = issue.path?.map((item) => String(item.key)).join(".");
  const isUnknown = issue.type === "strict_object" && issue.expected === "never";
  throw new TypeError(
    `${path === undefined ? "options" : `options.${path}`}: ${isUnknown ? "no such option" : issue.message}`,
  );
}
