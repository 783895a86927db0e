/**
 * Restores a backup when it is told to, and says when it is done.
 * @module
 */
import { passphraseWith } from "../../dist/keystore/slots/passphrase.js";
import { restoreVault } from "../../dist/vault.js";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

process.on("message", async ({ file, directory }) => {
  await restoreVault(file, directory, { unlock: passphraseWith("a test", { cost: CHEAP, floor: CHEAP }) });
  process.send("restored");
});
process.send("ready");
