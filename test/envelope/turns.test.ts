import { expect, test } from "vitest";
import { takeTurn } from "../../src/envelope/turns.ts";

test("of many who ask at once, one begins in each turn of the event loop, in order", async () => {
  let turn = 0;
  let isOver = false;
  const countTurn = (): void => {
    turn += 1;
    if (!isOver) setImmediate(countTurn);
  };
  setImmediate(countTurn);
  const began: [number, number][] = [];
  const ask = async (who: number): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await takeTurn();
      began.push([who, turn]);
    }
  };
  await Promise.all([ask(1), ask(2), ask(3)]);
  isOver = true;
  expect(began.map(([who]) => who)).toEqual([1, 2, 3, 1, 2, 3, 1, 2, 3]);
  expect(new Set(began.map(([, at]) => at)).size).toBe(9);
});
