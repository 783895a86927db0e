/**
 * Changes a vault at random until it is killed. Each actor has its own keys and aliases, and one call on its way at
 * most; the log says what it was about to do, and what has been acknowledged. The log is written by system calls
 * that have ended before the next step begins, so a kill takes nothing from it.
 * @module
 */
import { openSync, writeSync } from "node:fs";
import { isCofferError } from "../../dist/index.js";
import { passphraseWith } from "../../dist/keystore/slots/passphrase.js";
import { createVault, openVault } from "../../dist/vault.js";
import { randomOf } from "./random.mjs";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const unlock = () => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });
const MAX_KEYS = 4;

async function run({ directory, logPath, nowMs, seed, actors, slots, isNew }) {
  const log = openSync(logPath, "a");
  const write = (line) => writeSync(log, `${JSON.stringify(line)}\n`);
  const random = randomOf(seed);
  const pick = (items) => items[Math.floor(random() * items.length)];
  const notices = (notice) => write({ notice });
  const options = () => ({ unlock: unlock(), clock: () => nowMs, onWarning: notices });
  const listen = (vault) => vault.on("damage", notices).on("warning", notices);
  write({ opening: true });
  let vault = listen(
    isNew ? (await createVault(directory, options())).vault : await openVault(directory, options()),
  );
  write({ opened: true });
  process.send("opened");

  let count = 0;
  /** Says what it does, does it, and says how it ended. Returns the answer, undefined when it was refused. */
  async function perform(actor, operation, request) {
    const number = ++count;
    write({ actor, number, operation, request });
    try {
      const answer = await vault.kms[operation](request);
      write({ actor, number, answer: answerOf(operation, answer) });
      return answer;
    } catch (error) {
      if (!isCofferError(error)) throw error;
      write({ actor, number, refused: error.code });
      if (error.code === "COFFER_LOCKED") await new Promise((resolve) => setTimeout(resolve, 2));
      return undefined;
    }
  }

  async function act(actor, keys, aliases) {
    for (;;) {
      const step = ++count;
      const keyId = pick(keys);
      const aliasName = pick(aliases);
      const text = `${actor}/${seed}-${step}`;
      if (keyId === undefined || (keys.length < MAX_KEYS && random() < 0.2)) {
        const alias = random() < 0.7 ? `alias/${text}` : undefined;
        const tags = random() < 0.5 ? [{ tagKey: "born", tagValue: text }] : [];
        const answer = await perform(actor, "createKey", { description: text, alias, tags });
        if (answer === undefined) continue;
        keys.push(answer.keyMetadata.keyId);
        if (alias !== undefined) aliases.push(alias);
        continue;
      }
      const name = `alias/${text}`;
      const steps = [
        ["createAlias", { aliasName: name, targetKeyId: keyId }],
        ["updateKeyDescription", { keyId, description: text }],
        [
          "tagResource",
          {
            keyId,
            tags: [
              { tagKey: pick(["a", "b"]), tagValue: text },
              { tagKey: "c", tagValue: text },
            ],
          },
        ],
        ["untagResource", { keyId, tagKeys: [pick(["a", "b", "born"])] }],
        ["disableKey", { keyId }],
        ["enableKey", { keyId }],
        ["scheduleKeyDeletion", { keyId, pendingWindowInDays: 7 }],
        ["cancelKeyDeletion", { keyId }],
        ["enableKeyRotation", { keyId, rotationPeriodInDays: 365 }],
        ["disableKeyRotation", { keyId }],
        ["rotateKeyOnDemand", { keyId }],
        ["setDeletionProtection", { keyId, enableDeletionProtection: random() < 0.3 }],
        ["encrypt", { keyId, plaintext: text }],
      ];
      if (aliasName !== undefined) {
        steps.push(["updateAlias", { aliasName, targetKeyId: keyId }], ["deleteAlias", { aliasName }]);
      }
      const [operation, request] = pick(steps);
      const answer = await perform(actor, operation, request);
      if (operation === "createAlias" && answer !== null) aliases.push(name);
    }
  }

  /** Adds, renames and removes ways in, beside those that the vault was made with, or ends them all at once. */
  async function changeSlots(ids) {
    for (;;) {
      const slotStep = ++count;
      const label = `slot ${seed}-${slotStep}`;
      const id = pick(ids);
      const choices = id === undefined || ids.length < 3 ? ["add"] : [];
      if (id !== undefined) choices.push("setLabel", "remove");
      if (random() < 0.1) choices.splice(0, choices.length, "rotateRoot");
      const operation = pick(choices);
      write({ slotStep, operation, id, label });
      try {
        let added;
        if (operation === "add") {
          added = await vault.slots.add(passphraseWith(label, { cost: CHEAP, floor: CHEAP }), { label });
          ids.push(added.id);
        } else if (operation === "setLabel") {
          await vault.slots.setLabel(id, label);
        } else if (operation === "rotateRoot") {
          await vault.rotateRootKey({ slots: [{ unlocker: unlock() }] });
          ids.length = 0;
        } else {
          await vault.slots.remove(id);
          ids.splice(ids.indexOf(id), 1);
        }
        write({ slotStep, done: true, id: added?.id });
      } catch (error) {
        if (!isCofferError(error)) throw error;
        write({ slotStep, done: false });
      }
      await new Promise((resolve) => setTimeout(resolve, random() * 20));
    }
  }

  /** Backs the vault up, again and again over the same file. */
  async function backUp() {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 30 + random() * 250));
      try {
        write({ backup: "begun" });
        await vault.backup(`${directory}.coa`, { overwrite: true });
        write({ backup: "made" });
      } catch (error) {
        if (!isCofferError(error)) throw error;
        write({ backup: "refused" });
      }
    }
  }

  /** Locks and unlocks, closes and opens, while the actors go on. */
  async function disturb() {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 20 + random() * 100));
      if (random() < 0.6) {
        await vault.lock();
        await vault.unlock(unlock());
      } else {
        await vault.close();
        vault = listen(await openVault(directory, options()));
      }
      write({ disturbed: true });
    }
  }

  const acting = Object.entries(actors).map(([actor, { keys, aliases }]) =>
    act(actor, [...keys], [...aliases]),
  );
  await Promise.all([...acting, changeSlots([...slots]), backUp(), disturb()]);
}

/** What the judge needs of an answer. */
function answerOf(operation, answer) {
  if (operation === "createKey") return { keyId: answer.keyMetadata.keyId };
  if (operation === "encrypt") return { blob: Buffer.from(answer.ciphertextBlob).toString("base64") };
  return {};
}

process.on("message", (task) => {
  run(task).catch((/** @type {unknown} */ error) => {
    process.send({ failed: error instanceof Error ? error.stack : String(error) });
  });
});
process.on("disconnect", () => process.exit());
process.send("ready");
