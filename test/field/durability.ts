/**
 * Reads a trace of system calls and says where something was acknowledged, or built upon, before it was durable.
 * The rules are those of docs/format.md#commit and #open; what a disk does with what nobody flushed is not assumed.
 * @module
 */
import { basename, dirname } from "node:path";

/** One system call that succeeded. `start` and `end` are line numbers of the trace. */
export interface TracedCall {
  readonly name: string;
  readonly args: string;
  readonly start: number;
  readonly end: number;
}

/** Calls that the rules need. */
export const TRACED_CALLS =
  "openat,open,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat";

const OPERATION_RULES: Readonly<Record<string, { readonly batches: number; readonly headers: number }>> = {
  createVault: { batches: 1, headers: 2 },
  createKey: { batches: 1, headers: 2 },
  createAlias: { batches: 1, headers: 2 },
  updateAlias: { batches: 1, headers: 2 },
  deleteAlias: { batches: 1, headers: 2 },
  rotateKeyOnDemand: { batches: 1, headers: 2 },
  disableKey: { batches: 1, headers: 2 },
  addSlot: { batches: 1, headers: 2 },
};

/** Reads what `strace -f -y` wrote: `pid call(args) = answer`, in one line or in two. */
export function parseTrace(text: string): TracedCall[] {
  const calls: TracedCall[] = [];
  const waiting = new Map<string, { name: string; args: string; start: number }>();
  for (const [number, line] of text.split("\n").entries()) {
    const begun = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/u.exec(line);
    if (begun !== null) {
      const [, pid = "", name = "", args = ""] = begun;
      waiting.set(pid, { name, args, start: number });
      continue;
    }
    const resumed = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.+)$/u.exec(line);
    const whole = /^(\d+) +(\w+)\((.*)\) += (.+)$/u.exec(line);
    const [, pid = "", name = "", args = "", answer = ""] = resumed ?? whole ?? [];
    if (name === "" || answer.startsWith("-1")) continue;
    const before = resumed === null ? undefined : waiting.get(pid);
    calls.push({ name, args: (before?.args ?? "") + args, start: before?.start ?? number, end: number });
  }
  return calls.toSorted((a, b) => a.start - b.start);
}

/** Returns what is wrong with a trace: nothing, when every promise was durable before it was made. */
export function violationsIn(calls: readonly TracedCall[]): string[] {
  const disk = new Disk();
  const moments = calls.flatMap((call) => [
    { at: call.start, call, isEnd: false },
    { at: call.end + 0.5, call, isEnd: true },
  ]);
  for (const { call, isEnd } of moments.toSorted((a, b) => a.at - b.at)) {
    if (isEnd) disk.after(call);
    else disk.before(call);
  }
  return disk.violations;
}

const isVault = (path: string): boolean => /\/vault(?:\.new-[0-9a-f]+)?$/u.test(path);
const isInVault = (path: string): boolean => /\/vault(?:\.new-[0-9a-f]+)?\//u.test(path);
const isHeader = (path: string): boolean => /^header\.[01]$/u.test(basename(path)) && isVault(dirname(path));
const isLog = (path: string): boolean => /\/db-1\/\d+\.log$/u.test(path);
/** LevelDB's diary and lock, and our lock: nothing depends on them after a power cut. */
const isOfNoImport = (path: string): boolean =>
  /^(?:LOG|LOG\.old|LOCK|.*\.dbtmp|vault\.lock.*|header\.[01]\.tmp)$/u.test(basename(path)) ||
  /\.keep-old(?:\/|$)/u.test(path);

class Disk {
  readonly violations: string[] = [];
  #clock = 0;
  #writes = new Map<string, number>();
  #names = new Map<string, number>();
  #flushes = new Map<string, number>();
  readonly #flushing = new Map<TracedCall, number>();
  /** Header copies and folder of a vault that was just opened: a crash may have left them in memory only. */
  #unknown = new Set<string>();
  #operation = "";
  #begun = 0;
  #batches = 0;
  #headers = 0;

  before(call: TracedCall): void {
    const paths = pathsOf(call);
    const [first = "", second = ""] = paths;
    switch (kindOf(call)) {
      case "flush":
        this.#flushing.set(call, this.#clock);
        break;
      case "rename":
        if (isHeader(second)) this.#beforeHeader(first);
        if (isVault(first) && isVault(second)) this.#allDurable("a vault appears");
        break;
      case "link":
        if (
          second.includes("db-1.keep-new/") &&
          !isOfNoImport(second) &&
          this.#flushedAt(first) <= this.#begun
        ) {
          this.#blame(`${basename(first)} is kept without a flush`);
        }
        break;
      case "create":
        if (/\/db-1\//u.test(first)) this.#beforeDatabase(dirname(dirname(first)));
        break;
      case "write":
        if (basename(first) === "markers") this.#marker(call);
        else if (isLog(first) && this.#operation !== "createVault")
          this.#beforeBatch(dirname(dirname(first)));
        break;
      default:
    }
  }

  after(call: TracedCall): void {
    const [first = "", second = ""] = pathsOf(call);
    this.#clock++;
    switch (kindOf(call)) {
      case "flush":
        this.#flushes.set(first, Math.max(this.#flushing.get(call) ?? 0, this.#flushedAt(first)));
        this.#unknown.delete(first);
        break;
      case "rename":
        this.#move(first, second);
        this.#names.set(second, this.#clock);
        if (isHeader(second)) this.#headers++;
        break;
      case "link":
        this.#writes.set(second, this.#writes.get(first) ?? 0);
        this.#flushes.set(second, this.#flushedAt(first));
        this.#names.set(second, this.#clock);
        break;
      case "create":
        if (isVault(first) || isInVault(first)) this.#names.set(first, this.#clock);
        break;
      case "remove":
        for (const map of [this.#writes, this.#names]) map.delete(first);
        break;
      case "write":
        if (!isInVault(first)) break;
        this.#writes.set(first, this.#clock);
        if (isLog(first)) this.#batches++;
        break;
      default:
    }
  }

  #flushedAt(path: string): number {
    return this.#flushes.get(path) ?? -1;
  }

  #isDirty(path: string): boolean {
    return (this.#writes.get(path) ?? -1) > this.#flushedAt(path);
  }

  #isNameDirty(path: string): boolean {
    return (this.#names.get(path) ?? -1) > this.#flushedAt(dirname(path));
  }

  #blame(what: string): void {
    this.violations.push(`${this.#operation}: ${what}`);
  }

  /** The header names a batch: S_header ≤ S_db. */
  #beforeHeader(temporary: string): void {
    if (this.#isDirty(temporary)) this.#blame(`${basename(temporary)} is renamed before it is flushed`);
    for (const path of this.#writes.keys()) {
      if (isLog(path) && this.#isDirty(path)) this.#blame("a header names a batch that is not flushed");
    }
  }

  /** The batch names a header generation: witness ≤ g. And no kept database would be put back over it. */
  #beforeBatch(vault: string): void {
    for (const path of this.#unknown)
      this.#blame(`a batch builds on ${basename(path)}, not flushed since it was opened`);
    for (const name of ["header.0", "header.1"]) {
      const path = `${vault}/${name}`;
      if (this.#isDirty(path) || this.#isNameDirty(path))
        this.#blame(`a batch names a header that is not durable: ${name}`);
    }
    for (const path of this.#names.keys()) {
      if (/\/db-1\.keep(?:-old)?$/u.test(path) && this.#isNameDirty(path))
        this.#blame("the kept database may come back");
      if (path.endsWith("/db-1/CURRENT") && this.#isNameDirty(path))
        this.#blame("LevelDB's CURRENT is not durable");
      if (path.endsWith("/db-1.keep") && (this.#names.get(path) ?? 0) > this.#begun)
        this.#blame("the database is still kept");
    }
  }

  /** LevelDB changes its folder: what is kept of it is whole before. */
  #beforeDatabase(vault: string): void {
    for (const path of this.#names.keys()) {
      const isKept =
        path === `${vault}/db-1.keep` || (path.startsWith(`${vault}/db-1.keep/`) && !isOfNoImport(path));
      if (isKept && this.#isNameDirty(path))
        this.#blame(`LevelDB opens before ${basename(path)} is kept durably`);
    }
  }

  #marker({ args }: TracedCall): void {
    const [, what, operation = ""] = /"(begin|ack) (\w+)/u.exec(args) ?? [];
    if (what === "begin") {
      this.#operation = operation;
      this.#begun = this.#clock;
      [this.#batches, this.#headers] = [0, 0];
      return;
    }
    const expected = OPERATION_RULES[operation] ?? { batches: 0, headers: 0 };
    if (this.#batches < expected.batches) this.#blame("acknowledged without a batch");
    if (this.#headers < expected.headers) this.#blame("acknowledged without a header");
    this.#allDurable("acknowledged");
    if (["createVault", "openVault", "unlock"].includes(operation)) {
      const vault = [...this.#names.keys()].find((path) => path.endsWith("/vault"));
      if (vault !== undefined) this.#unknown = new Set([vault, `${vault}/header.0`, `${vault}/header.1`]);
    }
  }

  #allDurable(what: string): void {
    for (const path of this.#writes.keys()) {
      if (!isOfNoImport(path) && this.#isDirty(path))
        this.#blame(`${what} before ${basename(path)} is flushed`);
    }
    for (const path of this.#names.keys()) {
      // The name of a new vault comes last.
      if (isOfNoImport(path) || /\.new-[0-9a-f]+$/u.test(path)) continue;
      if (this.#isNameDirty(path)) this.#blame(`${what} before the name ${basename(path)} is flushed`);
    }
  }

  /** What lay at or below a path lies at or below another. */
  #move(from: string, to: string): void {
    const moved = (path: string): string | undefined =>
      path === from ? to : path.startsWith(`${from}/`) ? to + path.slice(from.length) : undefined;
    const move = (map: ReadonlyMap<string, number>): Map<string, number> => {
      const kept = [...map].filter(([path]) => path !== to && !path.startsWith(`${to}/`));
      return new Map(kept.map(([path, at]) => [moved(path) ?? path, at]));
    };
    this.#writes = move(this.#writes);
    this.#names = move(this.#names);
    this.#flushes = move(this.#flushes);
  }
}

function kindOf({
  name,
  args,
}: TracedCall): "flush" | "rename" | "link" | "create" | "remove" | "write" | undefined {
  if (name === "fsync" || name === "fdatasync") return "flush";
  if (name.startsWith("rename")) return "rename";
  if (name.startsWith("link")) return "link";
  if (name.startsWith("unlink")) return "remove";
  if (name.startsWith("mkdir")) return "create";
  if (name.includes("write")) return "write";
  return args.includes("O_CREAT") ? "create" : undefined;
}

/** Paths that a call names, or that of its file descriptor. */
function pathsOf({ name, args }: TracedCall): string[] {
  if (/^(?:write|pwrite|pwritev|writev|fsync|fdatasync)/u.test(name)) {
    const path = /^\d+<([^>]*)>/u.exec(args)?.[1];
    return path === undefined ? [] : [path];
  }
  return [...args.matchAll(/"([^"]*)"/gu)].map(([, path = ""]) => path);
}
