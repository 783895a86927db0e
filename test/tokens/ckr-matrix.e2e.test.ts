import { expect, test } from "vitest";
import { type CofferError, isCofferError } from "../../src/errors.ts";
import type { HelperResult } from "../../src/keystore/slots/pkcs11/helper-process.ts";
import type { HelperTask } from "../../src/keystore/slots/pkcs11/helper-protocol.ts";
import { randomOf } from "../field/random.mjs";
import { report, sampleOf, SEED, TEST_TIMEOUT_MS } from "../field/scale.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { CKR, CKR_NAMES, type CkrName, MATRIX, type MatrixRow, type MatrixTask } from "./ckr-matrix.ts";
import {
  ecKey,
  rsaKey,
  runTask,
  runTaskHere,
  STUB_PIN,
  type TaskOptions,
  unlockTask,
} from "./stub-ground.ts";
import { StubModule, type StubRule, type StubToken } from "./stub-module.ts";

const scratch = scratchDirectories();
const folder = scratch();
let made = 0;
const AES_ID = "06";
const ec = ecKey("03");
const rsa = rsaKey("04");
const tokens: readonly StubToken[] = [
  { label: "vault", pin: STUB_PIN, keys: [ec.key, rsa.key, { kind: "aes", id: AES_ID }] },
];
const wrapped = Buffer.alloc(32, 7);
const TASKS: Readonly<Record<MatrixTask, () => HelperTask>> = {
  ec: () => unlockTask(ec),
  rsa: () => unlockTask(rsa),
  aes: () => ({ kind: "enroll", secret: Buffer.from(wrapped) }),
  list: () => ({ kind: "list" }),
};

interface Case {
  readonly row: MatrixRow;
  readonly name: CkrName;
}

interface Ended {
  readonly stub: StubModule;
  readonly result: HelperResult | undefined;
  readonly error: unknown;
  readonly asked: number;
}

type Runner = typeof runTaskHere;

async function run(runner: Runner, task: MatrixTask, rules: readonly StubRule[]): Promise<Ended> {
  const stub = await StubModule.make(await folder, { tokens, rules }, `stub-${++made}`);
  let asked = 0;
  const pin = (): Promise<Uint8Array> => {
    asked += 1;
    return Promise.resolve(Buffer.from(STUB_PIN));
  };
  const options: TaskOptions = { talk: { pin }, ...(task === "aes" && { keyId: AES_ID }) };
  try {
    return { stub, result: await runner(stub, TASKS[task](), options), error: undefined, asked };
  } catch (error) {
    return { stub, result: undefined, error, asked };
  }
}

const usual = new Map<MatrixTask, Promise<string[]>>();

/** The calls of a task that goes well. */
function usualCalls(task: MatrixTask): Promise<string[]> {
  const known = usual.get(task) ?? run(runTaskHere, task, []).then(({ stub }) => stub.calls());
  usual.set(task, known);
  return known;
}

/** Which one of the calls it is, counted from 1. */
async function nthOf({ task, call, when }: MatrixRow): Promise<number> {
  if (when === "once") return 1;
  const calls = await usualCalls(task);
  const login = calls.indexOf("C_Login");
  // The token is looked at again right before the login.
  const prompt = call === "C_GetTokenInfo" ? login - 1 : login;
  return calls.slice(0, prompt).filter((each) => each === call).length + 1;
}

function expectGood({ result, error }: Ended, task: MatrixTask): void {
  expect(error).toBeUndefined();
  if (task === "list") {
    expect(result).toMatchObject({ kind: "tokens", tokens: [{ token: { label: "vault" } }] });
  } else if (task === "aes") {
    expect(result?.kind).toBe("wrapped");
  } else {
    const { secret } = task === "ec" ? ec : rsa;
    expect(result?.kind === "secret" && Buffer.from(result.secret).equals(secret)).toBe(true);
  }
}

function expectError({ error }: Ended, code: string, name: CkrName): void {
  expect(isCofferError(error) ? error.code : error).toBe(code);
  const { details, message } = error as CofferError;
  expect(details["ckr"]).toBe(name === "VENDOR" ? `CKR ${CKR.VENDOR}` : `CKR_${name}`);
  expect(JSON.stringify(error) + message).not.toContain(STUB_PIN);
}

async function expectCase(runner: Runner, { row, name }: Case): Promise<string> {
  const { task, call, when } = row;
  const does = { ckr: CKR[name] };
  const rule = when === "always" ? { call, does } : { call, does, nth: await nthOf(row) };
  const ended = await run(runner, task, [rule]);
  const outcome = row.outcome(name);
  if (outcome === "good") expectGood(ended, task);
  else expectError(ended, outcome, name);
  const entries = ended.stub.entries();
  const answers = (of: string): (number | undefined)[] =>
    entries.flatMap((entry) => (entry.call === of && entry.ckr !== undefined ? [entry.ckr] : []));
  expect(answers(call)).toContain(CKR[name]);
  // One PIN is one login, and no login is without a PIN.
  const logins = answers("C_Login");
  expect(logins.length).toBeLessThanOrEqual(Math.min(1, ended.asked));
  // Whoever started the module ends it, and whoever logged in logs out.
  if (answers("C_Initialize")[0] === 0) expect(entries.at(-1)?.call).toBe("C_Finalize");
  const isLoggedIn = logins[0] === 0;
  expect(entries.some((entry) => entry.call === "C_Logout")).toBe(isLoggedIn);
  const others = new Set(entries.map(({ pid }) => pid).filter((pid) => pid !== process.pid));
  expect(others.size).toBe(runner === runTask ? 1 : 0);
  for (const pid of others) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  return outcome;
}

/** @param atOnce most of them wait for a pause of the helper's */
async function expectCases(runner: Runner, cases: readonly Case[], atOnce: number): Promise<void> {
  const rest = [...cases];
  const outcomes: Record<string, number> = {};
  const bad: string[] = [];
  const take = async (): Promise<void> => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
      try {
        const outcome = await expectCase(runner, next);
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      } catch (error) {
        const { row, name } = next;
        bad.push(`${row.task}: ${row.call} ${row.when}, ${name}: ${(error as Error).message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, take));
  const how = runner === runTask ? "in a helper's process each" : "in one process";
  report(`answers of a token's module, ${how}`, { cases: cases.length, outcomes, bad: bad.length });
  expect(bad).toEqual([]);
}

/** Calls of which `npm test` tries every number; of the others it takes a sample, and soak takes all. */
const DECISIVE: ReadonlySet<string> = new Set(["C_Login", "C_DeriveKey"]);
const random = randomOf(SEED);
const everything: readonly Case[] = MATRIX.flatMap((row) => CKR_NAMES.map((name) => ({ row, name })));

test.each(["ec", "rsa", "aes", "list"] as const)("without a failure the task %s ends well", async (task) => {
  const ended = await run(runTask, task, []);
  expectGood(ended, task);
  expect(ended.asked).toBe(task === "list" ? 0 : 1);
});

test(
  "every number at every call ends as its error says, with one login at most",
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    const cases = MATRIX.flatMap((row) => {
      const names = DECISIVE.has(row.call) ? CKR_NAMES : sampleOf(CKR_NAMES, 6, random);
      return names.map((name) => ({ row, name }));
    });
    await expectCases(runTaskHere, cases, 400);
  },
);

test("the same from a helper's process, which is gone then", { timeout: TEST_TIMEOUT_MS }, () =>
  expectCases(runTask, sampleOf(everything, 6, random), 8),
);
