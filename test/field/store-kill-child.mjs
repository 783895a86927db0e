/**
 * Writes, moves, copies and removes files of a vault at random until it is killed. Each actor has a directory of its
 * own, and one call on its way at most; the log says what it was about to do, and what has been acknowledged. The log
 * is written by system calls that have ended before the next step begins, so a kill takes nothing from it.
 * @module
 */
import { openSync, writeSync } from "node:fs";
import { isCofferError } from "../../dist/index.js";
import { cheapPassphrase } from "../../dist/testing.js";
import { openVault } from "../../dist/vault.js";
import { bytesOf, randomOf } from "./random.mjs";

const SIZES = [0, 10, 4096, 4097, 5000, 70_000];

async function run({ directory, logPath, seed, actors }) {
  const log = openSync(logPath, "a");
  const write = (line) => writeSync(log, `${JSON.stringify(line)}\n`);
  const random = randomOf(seed);
  const pick = (items) => items[Math.floor(random() * items.length)];
  const onWarning = (notice) => write({ notice });
  const vault = await openVault(directory, { unlock: cheapPassphrase("a passphrase"), onWarning });
  vault.on("damage", onWarning).on("warning", onWarning);
  process.send("opened");

  async function* pieces(bytes) {
    for (let at = 0; at < bytes.length; at += 3000) yield bytes.subarray(at, at + 3000);
  }

  async function perform({ operation, path, to, size, seed: content, flag, isStream }) {
    const { store } = vault;
    const bytes = bytesOf(size, content);
    const calls = {
      write: () => store.write(path, isStream ? pieces(bytes) : bytes, { overwrite: flag }),
      createDirectory: () => store.createDirectory(path),
      move: () => store.move(path, to, { overwrite: flag }),
      copy: () => store.copy(path, to, { overwrite: flag }),
      remove: () => store.remove(path, { recursive: flag }),
    };
    await calls[operation]();
  }

  await Promise.all(
    actors.map(async (actor) => {
      const name = () =>
        `${actor}/${Array.from({ length: 1 + random() * 2 }, () => pick(["a", "b", "c"])).join("/")}`;
      for (;;) {
        const call = {
          operation: pick([
            "write",
            "write",
            "write",
            "write",
            "move",
            "move",
            "copy",
            "remove",
            "createDirectory",
          ]),
          path: name(),
          to: name(),
          size: pick(SIZES),
          seed: Math.floor(random() * 1000),
          flag: random() < 0.8,
          isStream: random() < 0.3,
        };
        write({ actor, call });
        try {
          await perform(call);
          write({ actor, isDone: true });
          process.send("done");
        } catch (error) {
          if (!isCofferError(error)) throw error;
          write({ actor, isDone: false, code: error.code });
        }
      }
    }),
  );
}

process.on("message", (task) => {
  run(task).catch((/** @type {unknown} */ error) => {
    process.send({ failed: error instanceof Error ? error.stack : String(error) });
  });
});
process.on("disconnect", () => process.exit());
process.send("ready");
