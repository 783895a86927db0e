/**
 * Keeps one vault open and does what it is told, while the system fails its calls or the disk is full. Argument: the
 * vault's directory. Answers `{ ok }`, `{ code, reason }` for an error of ours, `{ bad }` for anything else.
 * @module
 */
import { closeSync, ftruncateSync, openSync, unlinkSync, writeSync } from "node:fs";
import { isCofferError } from "../../dist/index.js";
import { passphraseWith } from "../../dist/keystore/slots/passphrase.js";
import { createVault, openVault } from "../../dist/vault.js";

const [directory] = process.argv.slice(2);
const filler = `${directory}.filler`;
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const unlock = () => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });
let notices = [];
const onWarning = (notice) => notices.push(notice);
let vault;

const commands = {
  async create() {
    ({ vault } = await createVault(directory, { unlock: unlock(), onWarning }));
  },
  async open() {
    vault = await openVault(directory, { unlock: unlock(), onWarning });
    vault.on("damage", onWarning);
  },
  async close() {
    await vault.close();
  },
  /** Fills the drive but for some bytes. */
  async fill({ leave }) {
    const file = openSync(filler, "w");
    let length = 0;
    for (const size of [65_536, 4096]) {
      const chunk = Buffer.alloc(size, 1);
      try {
        for (;;) length += writeSync(file, chunk, 0, size, length);
      } catch (error) {
        if (error.code !== "ENOSPC") throw error;
      }
    }
    ftruncateSync(file, Math.max(0, length - leave));
    closeSync(file);
  },
  async free() {
    unlinkSync(filler);
  },
  /** One change of several records: a key with an alias and a tag. */
  async change({ name, description = "" }) {
    const tags = [{ tagKey: "name", tagValue: name }];
    await vault.kms.createKey({ alias: `alias/${name}`, description: `${name} ${description}`, tags });
  },
  /** Names of the changes that are there; each must be whole. */
  async observe() {
    const names = [];
    for (let marker; ;) {
      const page = await vault.kms.listAliases({ limit: 100, marker });
      for (const { aliasName, targetKeyId } of page.aliases) {
        if (aliasName === "alias/default") continue;
        const name = aliasName.slice("alias/".length);
        const { keyMetadata } = await vault.kms.describeKey({ keyId: targetKeyId });
        const { tags } = await vault.kms.listResourceTags({ keyId: targetKeyId });
        if (!keyMetadata.description.startsWith(`${name} `)) throw new Error(`${name}: another description`);
        if (tags.length !== 1 || tags[0].tagValue !== name) throw new Error(`${name}: other tags`);
        names.push(name);
      }
      marker = page.nextMarker;
      if (marker === undefined) break;
    }
    let keys = 0;
    for (let marker; ;) {
      const page = await vault.kms.listKeys({ limit: 1000, marker });
      keys += page.keys.length;
      marker = page.nextMarker;
      if (marker === undefined) break;
    }
    if (keys !== names.length + 1) throw new Error(`${keys} keys for ${names.length} aliases`);
    return names;
  },
};

process.on("message", (command) => {
  notices = [];
  commands[command.do](command).then(
    (answer) => process.send({ ok: answer ?? true, notices }),
    (/** @type {unknown} */ error) => {
      if (isCofferError(error))
        process.send({
          code: error.code,
          message: error.message,
          cause: String(error.cause?.cause ?? error.cause),
          reason: error.details.reason,
          errno: error.details.errno,
          notices,
        });
      else process.send({ bad: error instanceof Error ? error.stack : String(error), notices });
    },
  );
});
process.on("disconnect", () => process.exit());
process.send("ready");
