/**
 * Uses of the public API that must compile, and uses that must not: each of these stands below the comment that expects
 * its error. Never run; public-api.test.ts compiles it, and `npm run types` does so with everything else.
 * @module
 */
import {
  type CofferError,
  type CofferErrorCode,
  createVault,
  type CreateVaultOptions,
  describeVault,
  isCofferError,
  openVault,
  passphrase,
  pkcs11,
  type PinRequest,
  recovery,
  type Unlocker,
  type Vault,
} from "../src/index.ts";

/** Compiles only where both types are the same, `any` being like no other. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never;

const unlock: Unlocker = passphrase("a passphrase");

export async function recoveryCodes(options: CreateVaultOptions): Promise<void> {
  const usual = await createVault("dir", { unlock });
  const code: Same<typeof usual.recoveryCode, string> = true;
  const asked = await createVault("dir", { unlock, recoveryCode: true });
  const askedCode: Same<typeof asked.recoveryCode, string> = true;
  const without = await createVault("dir", { unlock, recoveryCode: false });
  const noCode: Same<typeof without.recoveryCode, undefined> = true;
  const either = await createVault("dir", options);
  const eitherCode: Same<typeof either.recoveryCode, string | undefined> = true;
  const vaults: Same<(typeof usual | typeof without)["vault"], Vault> = true;
  void [code, askedCode, noCode, eitherCode, vaults];

  // @ts-expect-error the code of a vault that was made without one
  recovery(without.recoveryCode);
  // @ts-expect-error the code may be missing where the options do not tell
  recovery(either.recoveryCode);
  recovery(usual.recoveryCode);
}

export function narrowing(error: unknown): void {
  if (isCofferError(error)) {
    const code: Same<typeof error.code, CofferErrorCode> = true;
    void code;
  }
  if (isCofferError(error, "COFFER_WRONG_SECRET")) {
    const narrowed: Same<typeof error, CofferError<"COFFER_WRONG_SECRET">> = true;
    const code: Same<typeof error.code, "COFFER_WRONG_SECRET"> = true;
    const retryable: Same<typeof error.retryable, boolean> = true;
    void [narrowed, code, retryable];
  }
  // @ts-expect-error a code that does not exist
  if (isCofferError(error, "COFFER_WRONG_PASSWORD")) return;
  // @ts-expect-error not narrowed: it may be anything
  void error.code;
}

export async function options(): Promise<void> {
  await openVault("dir", { unlock, onWarning: ({ message }) => void message, clock: () => 0 });
  // @ts-expect-error no way in
  await openVault("dir", {});
  // @ts-expect-error a text is no unlocker
  await openVault("dir", { unlock: "a passphrase" });
  // @ts-expect-error an option that does not exist
  await openVault("dir", { unlock, recoverycode: false });
  // @ts-expect-error an option of createVault
  await openVault("dir", { unlock, label: "mine" });
  // @ts-expect-error present, and undefined: exact optional properties
  await openVault("dir", { unlock, signal: undefined });
  // @ts-expect-error a string where true or false belongs
  await createVault("dir", { unlock, recoveryCode: "no" });
  // @ts-expect-error no secret at all
  passphrase();
  // @ts-expect-error neither text nor bytes
  passphrase(["a passphrase"]);
}

export async function descriptions(): Promise<void> {
  const described = await describeVault("dir");
  // @ts-expect-error there may be no vault
  void described.id;
  if (described.exists) {
    const id: Same<typeof described.id, string> = true;
    void id;
  }
}

export async function requests({ kms }: Vault): Promise<void> {
  const { ciphertextBlob, keyId } = await kms.encrypt({ plaintext: "text", encryptionContext: { a: "b" } });
  const types: Same<[typeof ciphertextBlob, typeof keyId], [Uint8Array, string]> = true;
  const decrypted = await kms.decrypt({ ciphertextBlob });
  const bytes: Same<typeof decrypted.plaintext, Uint8Array> = true;
  const tried = await kms.encrypt({ plaintext: "text", dryRun: true });
  const dryRun: Same<typeof tried, { readonly dryRun: true }> = true;
  await kms.createKey();
  await kms.createKey({ alias: "alias/a", tags: [{ tagKey: "a", tagValue: "b" }] });
  await kms.generateDataKey({ keySpec: "AES_256" });
  void [types, bytes, dryRun];

  // @ts-expect-error nothing was encrypted
  void tried.ciphertextBlob;
  // @ts-expect-error no plaintext
  await kms.encrypt({ keyId: "alias/a" });
  // @ts-expect-error a misspelt context would not be bound
  await kms.encrypt({ plaintext: "text", encryptioncontext: { a: "b" } });
  // @ts-expect-error a context of other than texts
  await kms.encrypt({ plaintext: "text", encryptionContext: { a: 1 } });
  // @ts-expect-error another spec
  await kms.generateDataKey({ keySpec: "AES_512" });
  // @ts-expect-error without plaintext there is none
  void (await kms.generateDataKeyWithoutPlaintext({ keySpec: "AES_256" })).plaintext;
}

export async function disposal(vault: Vault): Promise<void> {
  const disposable: AsyncDisposable = vault;
  await disposable[Symbol.asyncDispose]();
  vault.on("warning", ({ message }) => void message).off("lock", () => undefined);
  // @ts-expect-error an event that does not exist
  vault.on("warnings", () => undefined);
  // @ts-expect-error made by createVault and openVault
  vault.kms = undefined;
  // @ts-expect-error read only
  vault.state = "unlocked";
}

export function tokens(): void {
  const module = "/usr/lib/module.so";
  pkcs11({ module, keyId: "03", pin: ({ token }: PinRequest) => (token.serial === "1" ? "123456" : null) });
  pkcs11({ module, pin: async (_request, signal) => (signal.aborted ? null : new Uint8Array(6)) });
  // @ts-expect-error the module comes from the caller alone
  pkcs11({ tokenLabel: "token" });
  // @ts-expect-error a PIN is text or bytes
  pkcs11({ module, pin: 123_456 });
  // @ts-expect-error an option that does not exist
  pkcs11({ module, slot: 0 });
}
