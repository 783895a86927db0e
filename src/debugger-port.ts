/**
 * Whether a debugger can attach to this process: it reads all memory, and with it the keys of an open vault.
 * @module
 */

/** True with `--inspect`, and after `inspector.open()`. False where the runtime has no inspector. */
export async function isDebuggerPortOpen(): Promise<boolean> {
  try {
    const { url } = await import("node:inspector");
    return url() !== undefined;
  } catch {
    return false;
  }
}
