/**
 * Advice of the library in the words of the command line: it names methods and options, where a person at a terminal
 * needs commands and flags. Codes do not decide it: one code covers several pieces of advice, and a notice has none.
 * Each row is a clause with a space in it, so that no name of a file or an alias is taken for one.
 * @module
 */

/** What the library says, and what is said here. */
const CLAUSES: ReadonlyMap<string, string> = new Map([
  ["See store.list for", "See coffer store ls for"],
  ["Run store.verify", "Run coffer store verify"],
  ["is told by store.verify", "is told by coffer store verify"],
  ["leave the files out with { store: false }", "leave the files out with --without-files"],
  [
    "accept the older state with { acceptRollback: true }",
    "accept the older state with coffer anchor --accept-rollback",
  ],
  ["accept it with { acceptRollback: true }", "accept it with coffer anchor --accept-rollback"],
  ["text that vault.anchor gave", "text that coffer anchor gave"],
  ["See slots.list for", "See coffer slot list for"],
  ["make one with createVault", "make one with coffer init"],
  ["See listKeys for", "See coffer key list for"],
  ["See listAliases for", "See coffer alias list for"],
  ["Use updateAlias to", "Use coffer alias update to"],
  ["Ask describeKey({ keyId: alias }) for", "Ask coffer key describe for"],
  ["Enable it with enableKey", "Enable it with coffer key enable"],
  ["Call cancelKeyDeletion, then enableKey,", "Call coffer key cancel-deletion, then coffer key enable,"],
  ["Switch that off with setDeletionProtection", "Switch that off with coffer key unprotect"],
  ["Leave keyId out", "Leave --key out"],
  [
    "Use encryptFile or encryptStream (on the command line: coffer file encrypt), which take",
    "Use coffer file encrypt, which takes",
  ],
  ["Use kms.decrypt", "Use coffer decrypt"],
  ["not a blob. Use decryptFile", "not a blob. Use coffer file decrypt"],
  [
    "Use the function decryptFile with { unlock: passphrase(…) }",
    "Use coffer file decrypt without -V and without COFFER_VAULT",
  ],
  ["fileInfo tells which", "coffer file info tells which"],
  ["Remove one with unshareFile", "Remove one with coffer file unshare"],
]);

/** Advice that is a flag of some commands, and none at all for the others. */
const FLAG_CLAUSES: ReadonlyMap<string, string> = new Map([
  [", or pass { overwrite: true }", "force"],
  [", or pass { recursive: true }", "recursive"],
]);

/** All that is put into other words, for a test that the library still says it. */
export const LIBRARY_CLAUSES: readonly string[] = [...CLAUSES.keys(), ...FLAG_CLAUSES.keys()];

/**
 * Returns a message of the library as the command line says it.
 * @param flags the options of the command, by their names.
 */
export function commandLineAdvice(message: string, flags: Readonly<Record<string, unknown>> = {}): string {
  let told = message;
  for (const [clause, words] of CLAUSES) told = told.replaceAll(clause, words);
  for (const [clause, flag] of FLAG_CLAUSES) {
    told = told.replaceAll(clause, Object.hasOwn(flags, flag) ? `, or give --${flag}` : "");
  }
  return told;
}
