/**
 * How long does describeKey take, of one key again and again and of a different key each time?
 * @module
 */
import { inRounds, timeLine } from "./measure.mjs";
import { withVault } from "./scratch-vault.mjs";

/** @returns {Promise<object[]>} */
export async function describingKeys({ rounds, callsPerRound, manyKeys }) {
  return withVault(Math.min(1000, manyKeys), async ({ vault: { kms } }) => {
    const { keys } = await kms.listKeys({ limit: 1000 });
    const describeEach = (keyIdOf) => async () => {
      for (let call = 0; call < callsPerRound; call += 1) await kms.describeKey({ keyId: keyIdOf(call) });
    };
    const { byAlias, byId } = await inRounds(rounds, {
      byAlias: describeEach(() => "alias/default"),
      byId: describeEach((call) => keys[call % keys.length].keyId),
    });
    const line = (what, took) => timeLine({ question: "describing keys", what, took, times: callsPerRound });
    return [
      line("describeKey, one key by its alias", byAlias),
      line(`describeKey, ${keys.length.toLocaleString("en")} keys by id in turn`, byId),
    ];
  });
}
