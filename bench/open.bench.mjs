/**
 * How long does openVault take beside Argon2id, with few keys and with many?
 * The vault is opened by its recovery code, which needs no Argon2id. Closing is not in the time.
 * @module
 */
import { performance } from "node:perf_hooks";
import { openVault, recovery } from "coffer";
import { inRounds, timeLine } from "./measure.mjs";
import { withVault } from "./scratch-vault.mjs";

/** Keys of the vault, and the longest that opening it should take. */
const TARGETS = [
  [10, 30],
  [10_000, 250],
];

/** @returns {Promise<object[]>} */
export async function opening({ opens, manyKeys }) {
  const lines = [];
  for (const [wanted, targetMs] of TARGETS) {
    const keys = Math.min(wanted, manyKeys);
    const { open } = await withVault(keys, async ({ vault, directory, recoveryCode }) => {
      await vault.close();
      return inRounds(opens, {
        async open() {
          const startedMs = performance.now();
          const opened = await openVault(directory, { unlock: recovery(recoveryCode) });
          const tookMs = performance.now() - startedMs;
          await opened.close();
          return tookMs / 1000;
        },
      });
    });
    lines.push(
      timeLine({
        question: "opening a vault",
        what: `open, ${keys.toLocaleString("en")} keys`,
        took: open,
        target: { of: "value", atMost: targetMs * 1000 },
      }),
    );
  }
  return lines;
}
