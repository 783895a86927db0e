/**
 * How long does describeKey take, of one key again and again and of a different key each time?
 * @module
 */
import { performance } from "node:perf_hooks";
import { medianOf } from "./measure.mjs";
import { withVault } from "./scratch-vault.mjs";

/** @returns {Promise<object[]>} */
export async function describingKeys({ rounds, callsPerRound, manyKeys }) {
  return withVault(Math.min(1000, manyKeys), async ({ vault: { kms } }) => {
    const { keys } = await kms.listKeys({ limit: 1000 });
    const perCall = (keyIdOf) =>
      medianOf(rounds, async () => {
        const startedMs = performance.now();
        for (let call = 0; call < callsPerRound; call += 1) await kms.describeKey({ keyId: keyIdOf(call) });
        return (performance.now() - startedMs) / callsPerRound;
      });
    const byAlias = await perCall(() => "alias/default");
    const byId = await perCall((call) => keys[call % keys.length].keyId);
    return [
      { what: "describeKey, one key by its alias", microseconds: byAlias * 1000 },
      {
        what: `describeKey, ${keys.length.toLocaleString("en")} keys by id in turn`,
        microseconds: byId * 1000,
      },
    ];
  });
}
