/**
 * The keychain of the golden vaults: any machine has it, and it protects nothing.
 * @module
 */
const other = (bytes) => Uint8Array.from(bytes, (byte) => byte ^ 0x5a);

export const goldenKeychain = {
  backend: "golden",
  protect: (secret) => other(secret),
  unprotect: (protectedSecret) => other(protectedSecret),
};
