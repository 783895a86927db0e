/**
 * How long do many files of 1 KiB and of 64 KiB take in the store, beside plain files with the same flushes, and beside
 * gocryptfs where it can be mounted: written, read, listed, removed?
 * @module
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { inRounds, sizeText, timeLine } from "./measure.mjs";
import { withFolder } from "./scratch-files.mjs";
import { withVault } from "./scratch-vault.mjs";
import { AT_ONCE, each, PlainFiles, seconds, StoredFiles, withGocryptfs } from "./store-ground.mjs";

const SIZES = [1024, 65_536];

/** @returns {Promise<object[]>} */
export async function storeFiles({ storeFilesCount, storeRounds, isQuick }) {
  const lines = [];
  for (const bytes of SIZES) {
    lines.push(
      ...(await withFolder((folder) =>
        withGocryptfs({ isWanted: !isQuick }, (mounted) =>
          withVault(1, async ({ vault }) => {
            const places = {
              own: new StoredFiles(vault.store, "many"),
              "plain files": await new PlainFiles(join(folder, "plain")).make(),
              ...(mounted !== undefined && { gocryptfs: await new PlainFiles(join(mounted, "many")).make() }),
            };
            return measure(places, { count: storeFilesCount, rounds: 2 * storeRounds, bytes });
          }),
        ),
      )),
    );
  }
  return lines;
}

/** Each place does a share of the files in its turn, so that all fill up together. */
async function measure(places, { count, rounds, bytes }) {
  const share = Math.ceil(count / rounds);
  const contents = Array.from({ length: AT_ONCE }, () => randomBytes(bytes));
  const names = (round) =>
    Array.from({ length: share }, (_, at) => `file ${String(round * share + at).padStart(8, "0")}.dat`);
  const inTurns = async (work) => {
    const next = {};
    const works = Object.entries(places).map(([name, place]) => {
      next[name] = 0;
      return [name, () => seconds(() => work(place, names(next[name]++)))];
    });
    return inRounds(rounds, Object.fromEntries(works), { isWarm: true });
  };
  const took = {
    write: await inTurns((place, some) =>
      each(some, AT_ONCE, (name) => place.write(name, contents[name.codePointAt(12) % AT_ONCE])),
    ),
    read: await inTurns((place, some) => each(some, AT_ONCE, (name) => place.read(name))),
    list: await inTurns(async (place) => {
      const found = await place.list();
      if (found !== share * rounds) throw new Error(`${found} files instead of ${share * rounds}`);
    }),
    remove: await inTurns((place, some) => each(some, AT_ONCE, (name) => place.remove(name))),
  };
  const lines = [];
  for (const [what, all] of Object.entries(took)) {
    const { own, ...others } = all;
    for (const [baseline, baselineTook] of Object.entries(others)) {
      lines.push(
        timeLine({
          question: `store: ${(share * rounds).toLocaleString("en")} files of ${sizeText(bytes)}, ${AT_ONCE} at once, flushed`,
          what: `${what}, a file`,
          took: own,
          baseline,
          baselineTook,
          times: what === "list" ? share * rounds : share,
        }),
      );
    }
  }
  return lines;
}
