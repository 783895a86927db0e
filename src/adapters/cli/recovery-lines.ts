/**
 * How a new recovery code is shown.
 * @module
 */

/** Returns the lines that show a code, once. */
export function recoveryLines(code: string): readonly string[] {
  const middle = code.indexOf("-", code.length / 2);
  return [
    "",
    "RECOVERY CODE, shown this once and kept nowhere:",
    "",
    `    ${code.slice(0, middle)}`,
    `    ${code.slice(middle + 1)}`,
    "",
    "Write it down on paper now and keep it away from this machine.",
    "It opens the vault when the passphrase is forgotten; whoever has it can open the vault too.",
    "Case, spaces and hyphens do not matter when it is typed (--recovery-code-file FILE).",
    "",
  ];
}
