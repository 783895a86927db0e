/**
 * What does a second thread bring, and what do more threads than cores?
 * @module
 */
import { join } from "node:path";
import { withProcesses } from "./file-process.mjs";
import { inRounds, rateLine, sizeText } from "./measure.mjs";
import { makeFile, settle } from "./scratch-files.mjs";

const THREADS = [1, 2, 4];

/** @returns {Promise<object[]>} */
export async function threads({ fileRounds, partBytes, isQuick }) {
  return withProcesses(async ({ folder, start }) => {
    const source = join(folder, "source");
    const sealed = join(folder, "sealed");
    await makeFile(source, partBytes);
    const works = {};
    const counts = isQuick ? THREADS.slice(0, 2) : THREADS;
    for (const count of counts) {
      const child = await start({ threads: count });
      const seconds = async (job) => (await child.ask(job)).seconds;
      works[`encryptFile, ${count}`] = () => seconds({ type: "encrypt", source, destination: sealed });
      works[`decryptFile, ${count}`] = () =>
        seconds({ type: "decrypt", source: sealed, destination: join(folder, "opened") });
    }
    const took = await inRounds(fileRounds, works, {
      isWarm: isQuick,
      before: () => settle(folder, partBytes),
    });
    return ["encryptFile", "decryptFile"].flatMap((name) =>
      counts.map((count) =>
        rateLine({
          question: `threads, ${sizeText(partBytes)}, not flushed`,
          what: `${name}, ${count} ${count === 1 ? "thread" : "threads"}`,
          bytes: partBytes,
          took: took[`${name}, ${count}`],
          ...(count > 1 && { baseline: "1 thread", baselineTook: took[`${name}, 1`] }),
        }),
      ),
    );
  });
}
