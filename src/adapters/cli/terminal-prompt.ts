/**
 * Asks for a secret on the terminal itself, without showing it, also where the standard streams carry data.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";
import { CofferError } from "../../index.ts";
import { UsageError } from "./arguments.ts";
import { terminalText } from "./terminal-text.ts";

/** The terminal that a process belongs to, whatever its streams are. */
const TERMINAL =
  process.platform === "win32" ? { read: "\\\\.\\CONIN$", write: "\\\\.\\CONOUT$" } : undefined;
const DEVICE = "/dev/tty";
/** For a terminal that does not know its width, where every character would get a line of its own. */
const USUAL_COLUMNS = 80;

interface Terminal {
  readonly input: ReadStream;
  readonly output: WriteStream;
  readonly release: () => void;
}

/**
 * Asks each question in turn and returns the answers. What `remark` has to say of them is shown on the same terminal.
 * @throws UsageError where there is no terminal. @throws CofferError `COFFER_ABORTED` for Ctrl-C, Escape or Ctrl-D.
 */
export async function askSecrets(
  questions: readonly string[],
  signal: AbortSignal,
  remark?: (answers: readonly string[]) => Promise<string | undefined>,
): Promise<readonly string[]> {
  const terminal = openTerminal();
  if (terminal.output.columns === 0) terminal.output.columns = USUAL_COLUMNS;
  try {
    const answers: string[] = [];
    for (const question of questions) answers.push(await ask(terminal, question, signal));
    const said = await remark?.(answers);
    if (said !== undefined) terminal.output.write(`${terminalText(said)}\n`);
    return answers;
  } finally {
    terminal.release();
  }
}

async function ask({ input, output }: Terminal, question: string, signal: AbortSignal): Promise<string> {
  const { isCancel, password } = await import("@clack/prompts");
  const end = new AbortController();
  let isAnswered = false;
  // A prompt that is over must not hear of it: it would switch the terminal's echo on under the next one.
  const endPrompt = (): void => void (isAnswered || end.abort());
  // Ctrl-D ends the reading, and the prompt would never answer. An answered one pauses its input as well.
  const onPause = (): void => void setImmediate(endPrompt);
  signal.addEventListener("abort", endPrompt, { once: true });
  input.once("pause", onPause);
  try {
    const message = terminalText(question);
    const answer = await password({ message, mask: "", input, output, signal: end.signal, withGuide: false });
    if (!isCancel(answer)) return answer;
    throw new CofferError("COFFER_ABORTED", "cancelled; nothing was changed");
  } finally {
    isAnswered = true;
    signal.removeEventListener("abort", endPrompt);
    input.off("pause", onPause);
  }
}

function openTerminal(): Terminal {
  const { stdin, stderr } = process;
  // Standard input that was read to its end as data gives nothing more.
  if (stdin.isTTY && stderr.isTTY && !stdin.readableEnded && !stdin.destroyed) {
    return { input: stdin, output: stderr, release: () => void stdin.pause() };
  }
  const opened: number[] = [];
  try {
    const read = openSync(TERMINAL?.read ?? DEVICE, "r");
    opened.push(read);
    const write = openSync(TERMINAL?.write ?? DEVICE, TERMINAL === undefined ? "w" : "r+");
    opened.push(write);
    const input = new ReadStream(read);
    const output = new WriteStream(write);
    return {
      input,
      output,
      release: () => {
        input.destroy();
        output.destroy();
      },
    };
  } catch {
    for (const descriptor of opened) closeSync(descriptor);
    throw new UsageError(
      "there is no terminal to ask for the secret; give --passphrase-file FILE, --recovery-code-file FILE, or for a token --module PATH and --pin-file FILE",
    );
  }
}
