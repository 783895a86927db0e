/**
 * One line on a terminal that says how far a long work is: share, rate, time left.
 * @module
 */
import type { ProgressListener } from "../../index.ts";
import type { Output } from "./output.ts";

/** Short work needs no line. */
const FIRST_AFTER_MS = 500;
const EVERY_MS = 100;
const MEBIBYTE = 1_048_576;
/** To the line's beginning, and clears it. */
const CLEAR = "\r\u001B[K";

export class ProgressLine {
  readonly #isShown: boolean;
  readonly #startedMs = performance.now();
  #writtenMs = Number.NEGATIVE_INFINITY;
  #hasLine = false;

  /** @param isDataShown whether the data itself goes to the terminal, where a line would be in its way. */
  constructor(output: Output, isDataShown: boolean = false) {
    this.#isShown = process.stderr.isTTY && !output.isJson && !isDataShown;
  }

  readonly listener: ProgressListener = ({ bytes, totalBytes }) => this.tell(bytes, totalBytes);

  /** @param totalBytes undefined where nobody knows it: data that comes through a pipe. */
  tell(bytes: number, totalBytes: number | undefined): void {
    const nowMs = performance.now();
    const tookMs = nowMs - this.#startedMs;
    if (!this.#isShown || tookMs < FIRST_AFTER_MS || nowMs - this.#writtenMs < EVERY_MS) return;
    this.#writtenMs = nowMs;
    this.#hasLine = true;
    process.stderr.write(`${CLEAR}${progressText(bytes, totalBytes, tookMs)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#hasLine) process.stderr.write(CLEAR);
  }
}

/** Returns the line: `42 %  512 of 1,219 MiB  830 MiB/s  1 s left`, or `512 MiB  830 MiB/s` without a total. */
export function progressText(bytes: number, totalBytes: number | undefined, tookMs: number): string {
  const rate = (bytes / MEBIBYTE / tookMs) * 1000;
  if (totalBytes === undefined) return `${inMebibytes(bytes)} MiB  ${rate.toFixed(0)} MiB/s`;
  const share = totalBytes === 0 ? 100 : Math.floor((bytes / totalBytes) * 100);
  const leftSeconds = bytes === 0 ? undefined : Math.ceil(((totalBytes - bytes) / bytes) * (tookMs / 1000));
  const size = `${inMebibytes(bytes)} of ${inMebibytes(totalBytes)} MiB`;
  const left = leftSeconds === undefined ? "" : `  ${durationText(leftSeconds)} left`;
  return `${share} %  ${size}  ${rate.toFixed(0)} MiB/s${left}`;
}

function inMebibytes(bytes: number): string {
  return Math.floor(bytes / MEBIBYTE).toLocaleString("en-GB");
}

function durationText(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
