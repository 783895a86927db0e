/**
 * Work in the calling thread, one piece in each turn of the event loop however many files and streams are at work, so
 * that everything else in the process has its turn too.
 * @module
 */

/** As long as nobody notices, a tenth of a millisecond or two: the bytes of one piece of work. */
export const TURN_BYTES = 262_144;

const waiting: (() => void)[] = [];
let isTaken = false;

/** Resolves when a piece of work may begin: at once when this turn has had none, else in a later one. */
export async function takeTurn(): Promise<void> {
  if (isTaken) {
    await new Promise<void>((resolve) => waiting.push(resolve));
  } else {
    isTaken = true;
    setImmediate(nextTurn);
  }
}

function nextTurn(): void {
  const next = waiting.shift();
  isTaken = next !== undefined;
  if (next === undefined) return;
  setImmediate(nextTurn);
  next();
}
