/**
 * Contents on their way to standard output: into a pipe as they come, to a terminal only as text that it can be given.
 * @module
 */
import { CofferError } from "../../index.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Invocation } from "./command.ts";
import { isPrintable } from "./terminal-text.ts";

/** What is longer is for a pager: all of it is held until it is known to be text. */
const MAX_SHOWN_BYTES = 1_048_576;

/** For `--help` of what writes contents. */
export const TERMINAL_NOTE =
  "A terminal is given text alone, of up to 1 MiB, and only when all of it was verified; -o - writes anything to it.";

/** True where a person sees what goes to standard output, and has not asked for that by `-o -`. */
export function isShown(args: Arguments): boolean {
  return process.stdout.isTTY && !args.has("output");
}

/** Writes to standard output. @throws CofferError before a byte of what a terminal cannot show. */
export async function writeContents(
  { args, output }: Invocation,
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  if (!isShown(args)) {
    for await (const piece of pieces) await output.data(piece);
    return;
  }
  const held: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      held.push(piece);
      bytes += piece.length;
      if (bytes > MAX_SHOWN_BYTES) throw notForTerminal();
    }
    const text = Buffer.concat(held);
    held.push(text);
    assertShowable(text);
    await output.data(text);
  } finally {
    for (const piece of held) piece.fill(0);
  }
}

/** @throws CofferError unless a terminal can be given these bytes as they are. */
export function assertShowable(bytes: Uint8Array): void {
  if (!isPrintable(bytes)) throw notForTerminal();
}

/** Refuses ciphertext on a terminal before any work. @throws UsageError. */
export function assertCiphertextNotShown(args: Arguments): void {
  if (isShown(args)) {
    throw new UsageError(
      "ciphertext is not for a terminal; give -o FILE or a pipe, or -o - to have it anyway",
    );
  }
}

function notForTerminal(): CofferError {
  return new CofferError(
    "COFFER_INVALID_ARGUMENT",
    "the plaintext is not text that a terminal can show, or longer than 1 MiB; give -o FILE or a pipe, or -o - to have it anyway",
  );
}
