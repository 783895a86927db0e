/**
 * Does one operation of each kind on a new vault, one after another, and says in a file when each begins and when it
 * is acknowledged. Arguments: the vault's directory; that file; which flush of ours to leave out, counted from 0, or
 * -1 for none. Prints what was flushed by us, path by path.
 * @module
 */
import { openSync, writeSync } from "node:fs";
import { passphraseWith } from "../../dist/keystore/slots/passphrase.js";
import { createFileSystem, nodeCalls } from "../../dist/storage/file-system.js";
import { openLevelStore } from "../../dist/storage/level-store.js";
import { createVaultIn, openVaultIn } from "../../dist/vault.js";

const [directory, markers, skipText] = process.argv.slice(2);
const skip = Number(skipText);
const flushed = [];

const calls = {
  ...nodeCalls,
  async open(path, flags, mode) {
    const handle = await nodeCalls.open(path, flags, mode);
    return {
      ...handle,
      async sync() {
        if (flushed.push(path) - 1 !== skip) await handle.sync();
      },
    };
  },
};
const fs = createFileSystem(calls);
const environment = {
  fs,
  openEngine: (path, options) => openLevelStore(path, { ...options, fileSystem: fs }),
};

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const unlock = () => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });
const marker = openSync(markers, "a");

async function step(name, act) {
  writeSync(marker, `begin ${name}\n`);
  const answer = await act();
  writeSync(marker, `ack ${name}\n`);
  return answer;
}

let { vault } = await step("createVault", () => createVaultIn(environment, directory, { unlock: unlock() }));
const { keyMetadata } = await step("createKey", () =>
  vault.kms.createKey({ alias: "alias/a", tags: [{ tagKey: "k", tagValue: "v" }] }),
);
const { keyId } = keyMetadata;
await step("createAlias", () => vault.kms.createAlias({ aliasName: "alias/b", targetKeyId: keyId }));
await step("deleteAlias", () => vault.kms.deleteAlias({ aliasName: "alias/b" }));
await step("close", () => vault.close());
vault = await step("openVault", () => openVaultIn(environment, directory, { unlock: unlock() }));
await step("updateAlias", () => vault.kms.updateAlias({ aliasName: "alias/default", targetKeyId: keyId }));
await step("rotateKeyOnDemand", () => vault.kms.rotateKeyOnDemand({ keyId }));
await step("encrypt", () => vault.kms.encrypt({ keyId, plaintext: "a" }));
await step("lock", () => vault.lock());
await step("unlock", () => vault.unlock(unlock()));
await step("disableKey", () => vault.kms.disableKey({ keyId }));
await vault.close();
process.stdout.write(JSON.stringify(flushed));
