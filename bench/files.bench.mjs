/**
 * How fast does a file become an encrypted file and back, beside `cp`, `age` and, as unauthenticated context,
 * `openssl enc -aes-256-ctr`; with the destination flushed to the disk, and without?
 * @module
 */
import { rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { withProcesses } from "./file-process.mjs";
import { inRounds, rateLine, sizeText } from "./measure.mjs";
import { isInstalled, makeFile, run, settle } from "./scratch-files.mjs";

const TARGETS = { unflushed: { cp: 0.5, age: 2 }, flushed: { cp: 0.7 } };

/** @returns {Promise<object[]>} */
export async function fileToFile({ fileRounds, fileBytes, isQuick }) {
  return withProcesses(async ({ folder, start }) => {
    const source = join(folder, "source");
    await makeFile(source, fileBytes);
    const child = await start();
    const others = isQuick ? { cp: othersOf(folder, source).cp } : await othersIn(folder, source);
    const lines = [];
    for (const isFlushed of [false, true]) {
      const own = coffers(child, folder, { source, isFlushed });
      const works = { ...own.works };
      for (const [name, work] of Object.entries(others)) {
        // Context only: how it is flushed says nothing more.
        if (isFlushed && name.startsWith("openssl")) continue;
        works[name] = () => toNewFile(join(folder, name.replaceAll(" ", "-")), work, isFlushed);
      }
      const took = await inRounds(fileRounds, works, {
        isWarm: isQuick,
        before: () => settle(folder, fileBytes),
      });
      await own.check();
      lines.push(...linesOf({ took, fileBytes, isFlushed }));
    }
    return lines;
  });
}

function coffers(child, folder, { source, isFlushed }) {
  const sealed = join(folder, "sealed");
  const opened = join(folder, "opened");
  const work = (type, from, to) => async () =>
    (await child.ask({ type, source: from, destination: to, isFlushed })).seconds;
  return {
    works: { encryptFile: work("encrypt", source, sealed), decryptFile: work("decrypt", sealed, opened) },
    check: () => run("cmp", source, opened),
  };
}

/** Each as a command of which the last argument is the new file. */
function othersOf(folder, source) {
  return {
    cp: ["cp", source],
    "openssl enc": [
      "openssl",
      "enc",
      "-aes-256-ctr",
      "-K",
      "11".repeat(32),
      "-iv",
      "22".repeat(16),
      "-in",
      source,
      "-out",
    ],
    age: ["age", "-R", join(folder, "age.recipient"), "-o"],
  };
}

/** Those that are installed. `age` encrypts and decrypts; the source is its last argument. */
async function othersIn(folder, source) {
  const { cp, age, ...others } = othersOf(folder, source);
  const found = { cp };
  for (const [name, command] of Object.entries(others)) if (isInstalled(command[0])) found[name] = command;
  if (!isInstalled("age")) return found;
  const identity = join(folder, "age.identity");
  await run("age-keygen", "-o", identity);
  await writeFile(join(folder, "age.recipient"), await run("age-keygen", "-y", identity));
  found["age encrypt"] = (to) => [...age, to, source];
  found["age decrypt"] = (to) => ["age", "-d", "-i", identity, "-o", to, join(folder, "age-encrypt")];
  return found;
}

async function toNewFile(path, command, isFlushed) {
  await rm(path, { force: true });
  const startedMs = performance.now();
  await run(...(typeof command === "function" ? command(path) : [...command, path]));
  if (isFlushed) await run("sync", path, dirname(path));
  return (performance.now() - startedMs) / 1000;
}

function linesOf({ took, fileBytes, isFlushed }) {
  const question = `file to file, ${sizeText(fileBytes)}, ${isFlushed ? "flushed" : "not flushed"}`;
  const lines = [];
  for (const direction of ["encrypt", "decrypt"]) {
    for (const name of Object.keys(took).toSorted()) {
      if (name.endsWith("File") || (name.startsWith("age") && name !== `age ${direction}`)) continue;
      const [program] = name.split(" ");
      lines.push(
        rateLine({
          question,
          what: `${direction}File`,
          bytes: fileBytes,
          took: took[`${direction}File`],
          baseline: program === "age" ? "age" : name,
          baselineTook: took[name],
          target: TARGETS[isFlushed ? "flushed" : "unflushed"][program],
        }),
      );
    }
  }
  return lines;
}
