/**
 * Restores a backup when it is told to, and says when it is done.
 * @module
 */
import { passphraseWith } from "../../dist/keystore/slots/passphrase.js";
import { restoreVault } from "../../dist/vault.js";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

process.on("message", ({ file, directory }) => {
  const unlock = passphraseWith("a test", { cost: CHEAP, floor: CHEAP });
  restoreVault(file, directory, { unlock }).then(
    () => process.send("restored"),
    (error) => process.send(String(error)),
  );
});
process.send("ready");
