// Children run the built package: `npm run build` comes first.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { INLINE_BYTES } from "../../src/store/write-content.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { createVault, openVault } from "../../src/vault.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import { randomOf } from "../field/random.mjs";
import { report, SEED, TEST_TIMEOUT_MS, times } from "../field/scale.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { applyTo, type Call, cloneOf, textOf, textOfStore, type Tree } from "./store-model.ts";

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

const ACTORS = ["a0", "a1", "a2"];
/** A vault is left for a new one after so many kills. */
const ROUNDS_PER_VAULT = 20;

const scratch = scratchDirectories();
const program = fileURLToPath(new URL("../field/store-kill-child.mjs", import.meta.url));
const unlock = (): ReturnType<typeof cheapPassphrase> => cheapPassphrase("a passphrase");

type Line =
  | { readonly notice: VaultNotice }
  | { readonly actor: string; readonly call: Call }
  | { readonly actor: string; readonly isDone: boolean; readonly code?: string };

/** Lets a child change the store until it is killed. @returns what its log says. */
async function killedRound(
  directory: string,
  seed: number,
  after: { readonly calls: number; readonly ms: number },
): Promise<Line[]> {
  const logPath = `${directory}.log`;
  writeFileSync(logPath, "");
  const child: ChildProcess = fork(program, { stdio: ["ignore", "ignore", "pipe", "ipc"], execArgv: [] });
  let complaint = "";
  child.stderr?.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  const gone = once(child, "exit");
  await Promise.race([once(child, "message"), gone]);
  let left = after.calls;
  const reached = new Promise<void>((resolve) => {
    child.on("message", (message: "opened" | "done" | { failed: string }) => {
      if (typeof message !== "string") complaint += message.failed;
      if (typeof message !== "string" || left-- <= 0) resolve();
    });
  });
  if (child.connected) child.send({ directory, logPath, seed, actors: ACTORS });
  // Now and then while it puts in order what the last one has left.
  if (seed % 4 > 0) await Promise.race([reached, gone]);
  await new Promise((resolve) => setTimeout(resolve, after.ms));
  child.kill("SIGKILL");
  await gone;
  if (complaint !== "") throw new Error(`seed ${SEED}: the child said: ${complaint}`);
  const lines = readFileSync(logPath, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Line);
}

interface Possible {
  /** With all that was acknowledged. */
  readonly tree: Tree;
  /** Also with what was under way. */
  readonly next: Tree | undefined;
}

/** What one actor's directory may hold, by the log. */
function possibleOf(before: Tree, lines: readonly Line[], actor: string, tally: Tally): Possible {
  const tree = cloneOf(before);
  let pending: Call | undefined;
  for (const line of lines) {
    if ("notice" in line || line.actor !== actor) continue;
    if ("call" in line) {
      pending = line.call;
      continue;
    }
    const call = pending as Call;
    pending = undefined;
    const outcome = applyTo(tree, call);
    const isSame = line.isDone ? !outcome.startsWith("!") : outcome.startsWith(`!${line.code ?? ""}`);
    if (!isSame) throw new Error(`${JSON.stringify(call)}: ${JSON.stringify(line)}, the model ${outcome}`);
    if (line.isDone) tally.acknowledged++;
  }
  if (pending === undefined) return { tree, next: undefined };
  const next = cloneOf(tree);
  applyTo(next, pending);
  tally.onTheWay++;
  return { tree, next };
}

interface Tally {
  kills: number;
  acknowledged: number;
  onTheWay: number;
}

test("no kill at any moment loses or alters an acknowledged file, or leaves one half visible", async () => {
  const kills = times(6, 1000);
  const tally: Tally = { kills: 0, acknowledged: 0, onTheWay: 0 };
  const random = randomOf(SEED);
  let directory = "";
  let trees = new Map<string, Tree>();
  for (; tally.kills < kills; tally.kills++) {
    if (tally.kills % ROUNDS_PER_VAULT === 0) {
      directory = join(await scratch(), "vault");
      await (await createVault(directory, { unlock: unlock() })).vault.close();
      trees = new Map();
    }
    const where = `seed ${SEED}, kill ${tally.kills}`;
    const after = { calls: Math.floor(random() * 8), ms: random() ** 2 * 100 };
    const lines = await killedRound(directory, Math.floor(random() * 2 ** 31), after);
    const notices = lines.flatMap((line) => ("notice" in line ? [line.notice] : []));
    const onWarning = (notice: VaultNotice): void => void notices.push(notice);
    const vault = await openVault(directory, { unlock: unlock(), onWarning });
    vault.on("warning", onWarning).on("damage", onWarning);
    const found = (await textOfStore(vault)).split("\n");
    for (const actor of ACTORS) {
      const { tree, next } = possibleOf(trees.get(actor) ?? new Map(), lines, actor, tally);
      const text = found.filter((line) => new RegExp(`^${actor}[ /]`, "u").test(line)).join("\n");
      const isNext = next !== undefined && textOf(next) === text;
      if (!isNext) expect(text, where).toBe(textOf(tree));
      trees.set(actor, isNext ? next : tree);
    }
    expect((await vault.store.verify()).problems, where).toEqual([]);
    await vault.close();
    expect(notices, where).toEqual([]);
    const objects = readdirSync(join(directory, "objects"), { recursive: true }).filter((name) =>
      String(name).endsWith(".cof"),
    );
    const large = found.filter((line) => Number(line.split(" ")[1]) > INLINE_BYTES);
    expect(objects.length, where).toBe(large.length);
    expect(readdirSync(join(directory, "incoming")), where).toEqual([]);
  }
  report("store: kills", { ...tally });
  expect(tally.acknowledged).toBeGreaterThan(tally.kills);
});
