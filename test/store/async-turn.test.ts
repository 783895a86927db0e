import { expect, test } from "vitest";

import { AsyncTurn } from "../../src/store/async-turn.ts";

function work(
  log: string[],
  name: string,
): { readonly run: () => Promise<string>; readonly end: () => void } {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const run = async (): Promise<string> => {
    log.push(name);
    await ended;
    return name;
  };
  return { run, end };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("who is alone waits for all before it, and all that come later wait for it", async () => {
  const [turn, log] = [new AsyncTurn(), [] as string[]];
  const [a, b, c, d] = [work(log, "a"), work(log, "b"), work(log, "c"), work(log, "d")];
  const all = [turn.shared(a.run), turn.shared(b.run), turn.alone(c.run), turn.shared(d.run)];
  expect(log).toEqual(["a", "b"]);
  a.end();
  await settled();
  expect(log).toEqual(["a", "b"]);
  b.end();
  await settled();
  expect(log).toEqual(["a", "b", "c"]);
  c.end();
  await settled();
  expect(log).toEqual(["a", "b", "c", "d"]);
  d.end();
  expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
});

test("who gives up waiting is passed, and does nothing; work that has begun is not ended", async () => {
  const [turn, log] = [new AsyncTurn(), [] as string[]];
  const [a, b, c] = [work(log, "a"), work(log, "b"), work(log, "c")];
  const first = turn.shared(a.run);
  const given = new AbortController();
  const waiting = turn.alone(b.run, given.signal);
  const behind = turn.shared(c.run, given.signal);
  const last = turn.shared(c.run);
  given.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(behind).rejects.toThrow("enough");
  await settled();
  expect(log).toEqual(["a", "c"]);
  await expect(turn.alone(b.run, given.signal)).rejects.toThrow("enough");
  const later = new AbortController();
  a.end();
  c.end();
  expect(await Promise.all([first, last])).toEqual(["a", "c"]);
  const alone = turn.alone(b.run, later.signal);
  later.abort(new Error("too late"));
  b.end();
  expect(await alone).toBe("b");
});

test("work that fails ends its turn", async () => {
  const turn = new AsyncTurn();
  const fail = (): Promise<never> => Promise.reject(new Error("failed"));
  await expect(turn.alone(fail)).rejects.toThrow("failed");
  await expect(turn.shared(fail)).rejects.toThrow("failed");
  expect(await turn.alone(async () => "free")).toBe("free");
});
