/**
 * What do writes gain that run at the same time and share their commits, and what does relaxed durability bring?
 * @module
 */
import { randomBytes } from "node:crypto";
import { inRounds, rateLine, sizeText } from "./measure.mjs";
import { withVault } from "./scratch-vault.mjs";
import { each, seconds } from "./store-ground.mjs";

const TARGET = 5;
const SIZES = [1024, 65_536];

/** @returns {Promise<object[]>} */
export async function storeWrites({ storeWritesCount: count, fileRounds, isQuick }) {
  return withVault(1, async ({ vault }) => {
    const { store } = vault;
    const lines = [];
    for (const size of SIZES) {
      const content = randomBytes(size);
      const write = (atOnce, durability) => async () => {
        const names = Array.from({ length: count }, (_, at) => `new/${at}`);
        const took = await seconds(async () => {
          await each(names, atOnce, (name) => store.write(name, content, { durability }));
          await store.flush();
        });
        await store.remove("new", { recursive: true, purge: true });
        return took;
      };
      const works = {
        "one after another": write(1, "durable"),
        concurrent: write(count, "durable"),
        "relaxed, one by one": write(1, "relaxed"),
        "relaxed, concurrent": write(count, "relaxed"),
      };
      const took = await inRounds(fileRounds, works, { isWarm: isQuick });
      const line = (what, name, baseline, target) =>
        rateLine({
          question: `store: ${count.toLocaleString("en")} writes of ${sizeText(size)}`,
          what,
          bytes: size * count,
          took: took[name],
          baseline: baseline === "concurrent" ? "durable" : baseline,
          baselineTook: took[baseline],
          target,
        });
      lines.push(
        line("all at once", "concurrent", "one after another", size === SIZES[0] ? TARGET : undefined),
        line("relaxed, one after another", "relaxed, one by one", "one after another"),
        line("relaxed, all at once", "relaxed, concurrent", "concurrent"),
      );
    }
    return lines;
  });
}
