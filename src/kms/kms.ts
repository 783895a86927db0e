/**
 * `vault.kms`: the operations of a cloud KMS, under their names and with their fields in camelCase.
 * @module
 */
import { redact, wipe } from "../secret.ts";
import { openForReadingOnly } from "../storage/database-ground.ts";
import { createAlias, type CreateAliasRequest } from "./create-alias.ts";
import { createKey, type CreateKeyRequest, type CreateKeyResponse } from "./create-key.ts";
import { decrypt, type DecryptRequest, type DecryptResponse } from "./decrypt.ts";
import { deleteAlias, type DeleteAliasRequest } from "./delete-alias.ts";
import { describeKey, type DescribeKeyRequest, type DescribeKeyResponse } from "./describe-key.ts";
import { encrypt, type EncryptRequest, type EncryptResponse } from "./encrypt.ts";
import {
  generateDataKeyWithoutPlaintext,
  type GenerateDataKeyWithoutPlaintextRequest,
  type GenerateDataKeyWithoutPlaintextResponse,
} from "./generate-data-key-without-plaintext.ts";
import {
  generateDataKey,
  type GenerateDataKeyRequest,
  type GenerateDataKeyResponse,
} from "./generate-data-key.ts";
import {
  generateRandom,
  type GenerateRandomRequest,
  type GenerateRandomResponse,
} from "./generate-random.ts";
import type { KmsHost } from "./kms-host.ts";
import { listAliases, type ListAliasesRequest, type ListAliasesResponse } from "./list-aliases.ts";
import { listKeys, type ListKeysRequest, type ListKeysResponse } from "./list-keys.ts";
import type {
  ChangingOperation,
  CommonParameters,
  DryRun,
  DryRunResponse,
  InEarnest,
  Operation,
} from "./operation.ts";
import { updateKeyDescription, type UpdateKeyDescriptionRequest } from "./update-key-description.ts";
import { enableKey, type EnableKeyRequest } from "./enable-key.ts";
import { disableKey, type DisableKeyRequest } from "./disable-key.ts";
import {
  scheduleKeyDeletion,
  type ScheduleKeyDeletionRequest,
  type ScheduleKeyDeletionResponse,
} from "./schedule-key-deletion.ts";
import {
  cancelKeyDeletion,
  type CancelKeyDeletionRequest,
  type CancelKeyDeletionResponse,
} from "./cancel-key-deletion.ts";
import { setDeletionProtection, type SetDeletionProtectionRequest } from "./set-deletion-protection.ts";
import { tagResource, type TagResourceRequest } from "./tag-resource.ts";
import { untagResource, type UntagResourceRequest } from "./untag-resource.ts";
import {
  listResourceTags,
  type ListResourceTagsRequest,
  type ListResourceTagsResponse,
} from "./list-resource-tags.ts";
import { reEncrypt, type ReEncryptRequest, type ReEncryptResponse } from "./re-encrypt.ts";
import {
  encryptDataKey,
  type EncryptDataKeyRequest,
  type EncryptDataKeyResponse,
} from "./encrypt-data-key.ts";
import {
  decryptDataKey,
  type DecryptDataKeyRequest,
  type DecryptDataKeyResponse,
} from "./decrypt-data-key.ts";
import {
  rotateKeyOnDemand,
  type RotateKeyOnDemandRequest,
  type RotateKeyOnDemandResponse,
} from "./rotate-key-on-demand.ts";
import { enableKeyRotation, type EnableKeyRotationRequest } from "./enable-key-rotation.ts";
import { disableKeyRotation, type DisableKeyRotationRequest } from "./disable-key-rotation.ts";
import {
  getKeyRotationStatus,
  type GetKeyRotationStatusRequest,
  type GetKeyRotationStatusResponse,
} from "./get-key-rotation-status.ts";
import {
  listKeyRotations,
  type ListKeyRotationsRequest,
  type ListKeyRotationsResponse,
} from "./list-key-rotations.ts";
import {
  getKeyLastUsage,
  type GetKeyLastUsageRequest,
  type GetKeyLastUsageResponse,
} from "./get-key-last-usage.ts";
import { updateAlias, type UpdateAliasRequest } from "./update-alias.ts";

/** Ends the plan of a dry run, so that nothing of it is kept. */
class DryRunEnd extends Error {
  /** Whether the plan would change nothing. */
  readonly isEmpty: boolean;

  constructor(isEmpty: boolean) {
    super();
    this.isEmpty = isEmpty;
  }
}

/**
 * The KMS of a vault. Every method takes one request object, and answers after what it changed is durable.
 *
 * With `dryRun: true` in the request nothing is done: the promise resolves with `{ dryRun: true }` where the call
 * would have succeeded, and rejects as the call would have.
 *
 * Every method @throws TypeError for a wrong type or an unknown member of the request, `COFFER_LOCKED` while the
 * vault is locked or closed, `COFFER_DAMAGED` for a record that was altered, and `COFFER_IO`.
 * Checks come in this order: the request, then the key it names, the key's state, its usage, and cryptography last.
 */
export class Kms {
  readonly #host: KmsHost;

  /** The vault makes its own; see `vault.kms`. */
  constructor(host: KmsHost) {
    this.#host = host;
  }

  /**
   * Makes a CMK, enabled, with its alias and tags in one batch: all of it or nothing.
   * @throws CofferError `COFFER_ALREADY_EXISTS` when the alias is taken; `COFFER_LIMIT_EXCEEDED` for a description
   *   above 8,192 bytes or more than 50 tags; `COFFER_INVALID_ARGUMENT`.
   */
  createKey(request: DryRun<CreateKeyRequest>): Promise<DryRunResponse>;
  createKey(request?: InEarnest<CreateKeyRequest>): Promise<CreateKeyResponse>;
  createKey(request: CreateKeyRequest = {}): Promise<CreateKeyResponse | DryRunResponse> {
    return this.#perform(createKey, request);
  }

  /**
   * Tells what a key is, in whatever state.
   * @throws CofferError `COFFER_NOT_FOUND`.
   */
  describeKey(request: DryRun<DescribeKeyRequest>): Promise<DryRunResponse>;
  describeKey(request?: InEarnest<DescribeKeyRequest>): Promise<DescribeKeyResponse>;
  describeKey(request: DescribeKeyRequest = {}): Promise<DescribeKeyResponse | DryRunResponse> {
    return this.#perform(describeKey, request);
  }

  /**
   * Lists the ids of all keys, page by page.
   * @throws CofferError `COFFER_INVALID_ARGUMENT` for an unknown marker or a limit out of range.
   */
  listKeys(request: DryRun<ListKeysRequest>): Promise<DryRunResponse>;
  listKeys(request?: InEarnest<ListKeysRequest>): Promise<ListKeysResponse>;
  listKeys(request: ListKeysRequest = {}): Promise<ListKeysResponse | DryRunResponse> {
    return this.#perform(listKeys, request);
  }

  /**
   * Gives a key one more name.
   * @throws CofferError `COFFER_ALREADY_EXISTS` when the alias is taken, by the same key too; `COFFER_NOT_FOUND`;
   *   `COFFER_INVALID_KEY_STATE` for a key pending deletion; `COFFER_INVALID_ARGUMENT`.
   */
  createAlias(request: DryRun<CreateAliasRequest>): Promise<DryRunResponse>;
  createAlias(request: InEarnest<CreateAliasRequest>): Promise<void>;
  createAlias(request: CreateAliasRequest): Promise<DryRunResponse | void> {
    return this.#perform(createAlias, request);
  }

  /**
   * Points an alias to another key. Calls that name the alias use that key from then on; a decrypt that names it
   * refuses what the old key sealed.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` when the new target is pending deletion;
   *   `COFFER_INVALID_KEY_USAGE` when the two keys differ in spec or usage; `COFFER_INVALID_ARGUMENT`.
   */
  updateAlias(request: DryRun<UpdateAliasRequest>): Promise<DryRunResponse>;
  updateAlias(request: InEarnest<UpdateAliasRequest>): Promise<void>;
  updateAlias(request: UpdateAliasRequest): Promise<DryRunResponse | void> {
    return this.#perform(updateAlias, request);
  }

  /**
   * Takes a name from a key, which stays as it is.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_ARGUMENT`.
   */
  deleteAlias(request: DryRun<DeleteAliasRequest>): Promise<DryRunResponse>;
  deleteAlias(request: InEarnest<DeleteAliasRequest>): Promise<void>;
  deleteAlias(request: DeleteAliasRequest): Promise<DryRunResponse | void> {
    return this.#perform(deleteAlias, request);
  }

  /**
   * Lists aliases, all or those of one key, page by page.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_ARGUMENT` for an unknown marker or a limit out of range.
   */
  listAliases(request: DryRun<ListAliasesRequest>): Promise<DryRunResponse>;
  listAliases(request?: InEarnest<ListAliasesRequest>): Promise<ListAliasesResponse>;
  listAliases(request: ListAliasesRequest = {}): Promise<ListAliasesResponse | DryRunResponse> {
    return this.#perform(listAliases, request);
  }

  /**
   * Encrypts 1 to 6,144 bytes under a CMK. Randomised: the same input never gives the same blob.
   * @throws CofferError `COFFER_LIMIT_EXCEEDED` for more bytes, or a context that is too large;
   *   `COFFER_INVALID_ARGUMENT` for none; `COFFER_NOT_FOUND`; `COFFER_KEY_DISABLED`; `COFFER_INVALID_KEY_STATE`;
   *   `COFFER_INVALID_KEY_USAGE`.
   */
  encrypt(request: DryRun<EncryptRequest>): Promise<DryRunResponse>;
  encrypt(request: InEarnest<EncryptRequest>): Promise<EncryptResponse>;
  encrypt(request: EncryptRequest): Promise<EncryptResponse | DryRunResponse> {
    return this.#perform(encrypt, request);
  }

  /**
   * Decrypts a blob of this vault.
   * @throws CofferError `COFFER_INVALID_CIPHERTEXT`, with one message whatever is wrong once a key is involved, and
   *   with a `reason` before that; `COFFER_INCORRECT_KEY` when `keyId` names another key than the blob;
   *   `COFFER_NOT_FOUND`, for a deleted key with the date; `COFFER_KEY_DISABLED`; `COFFER_INVALID_KEY_STATE`;
   *   `COFFER_UNSUPPORTED_FORMAT`.
   */
  decrypt(request: DryRun<DecryptRequest>): Promise<DryRunResponse>;
  decrypt(request: InEarnest<DecryptRequest>): Promise<DecryptResponse>;
  decrypt(request: DecryptRequest): Promise<DecryptResponse | DryRunResponse> {
    return this.#perform(decrypt, request);
  }

  /**
   * Makes a random data key and returns it in clear and under a CMK.
   * @throws CofferError as encrypt does; `COFFER_INVALID_ARGUMENT` unless exactly one length is given.
   */
  generateDataKey(request: DryRun<GenerateDataKeyRequest>): Promise<DryRunResponse>;
  generateDataKey(request: InEarnest<GenerateDataKeyRequest>): Promise<GenerateDataKeyResponse>;
  generateDataKey(request: GenerateDataKeyRequest): Promise<GenerateDataKeyResponse | DryRunResponse> {
    return this.#perform(generateDataKey, request);
  }

  /**
   * Makes a random data key and returns it under a CMK only.
   * @throws CofferError as generateDataKey does.
   */
  generateDataKeyWithoutPlaintext(
    request: DryRun<GenerateDataKeyWithoutPlaintextRequest>,
  ): Promise<DryRunResponse>;
  generateDataKeyWithoutPlaintext(
    request: InEarnest<GenerateDataKeyWithoutPlaintextRequest>,
  ): Promise<GenerateDataKeyWithoutPlaintextResponse>;
  generateDataKeyWithoutPlaintext(
    request: GenerateDataKeyWithoutPlaintextRequest,
  ): Promise<GenerateDataKeyWithoutPlaintextResponse | DryRunResponse> {
    return this.#perform(generateDataKeyWithoutPlaintext, request);
  }

  /**
   * Returns 1 to 1,024 random bytes.
   * @throws CofferError `COFFER_INVALID_ARGUMENT` for another number.
   */
  generateRandom(request: DryRun<GenerateRandomRequest>): Promise<DryRunResponse>;
  generateRandom(request: InEarnest<GenerateRandomRequest>): Promise<GenerateRandomResponse>;
  generateRandom(request: GenerateRandomRequest): Promise<GenerateRandomResponse | DryRunResponse> {
    return this.#perform(generateRandom, request);
  }

  /**
   * Replaces a key's description; the last one counts.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` for a key pending deletion;
   *   `COFFER_LIMIT_EXCEEDED` above 8,192 bytes; `COFFER_INVALID_ARGUMENT` for an alias.
   */
  updateKeyDescription(request: DryRun<UpdateKeyDescriptionRequest>): Promise<DryRunResponse>;
  updateKeyDescription(request: InEarnest<UpdateKeyDescriptionRequest>): Promise<void>;
  updateKeyDescription(request: UpdateKeyDescriptionRequest): Promise<DryRunResponse | void> {
    return this.#perform(updateKeyDescription, request);
  }

  /**
   * Enables a disabled key. Does nothing to an enabled one.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` for a key pending deletion or import;
   *   `COFFER_INVALID_ARGUMENT` for an alias.
   */
  enableKey(request: DryRun<EnableKeyRequest>): Promise<DryRunResponse>;
  enableKey(request: InEarnest<EnableKeyRequest>): Promise<void>;
  enableKey(request: EnableKeyRequest): Promise<DryRunResponse | void> {
    return this.#perform(enableKey, request);
  }

  /**
   * Disables a key: it encrypts and decrypts nothing until it is enabled again.
   * @throws CofferError as enableKey does.
   */
  disableKey(request: DryRun<DisableKeyRequest>): Promise<DryRunResponse>;
  disableKey(request: InEarnest<DisableKeyRequest>): Promise<void>;
  disableKey(request: DisableKeyRequest): Promise<DryRunResponse | void> {
    return this.#perform(disableKey, request);
  }

  /**
   * Blocks a key at once and deletes it, with its aliases and tags, after 7 to 366 days. What it encrypted is lost
   * then; until then the deletion can be cancelled.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` when it is pending already, or, reason
   *   `deletion-protection`, protected; `COFFER_INVALID_ARGUMENT` for an alias or another number of days.
   */
  scheduleKeyDeletion(request: DryRun<ScheduleKeyDeletionRequest>): Promise<DryRunResponse>;
  scheduleKeyDeletion(request: InEarnest<ScheduleKeyDeletionRequest>): Promise<ScheduleKeyDeletionResponse>;
  scheduleKeyDeletion(
    request: ScheduleKeyDeletionRequest,
  ): Promise<ScheduleKeyDeletionResponse | DryRunResponse> {
    return this.#perform(scheduleKeyDeletion, request);
  }

  /**
   * Keeps a key that is pending deletion; it is disabled afterwards.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` when it is not pending deletion;
   *   `COFFER_INVALID_ARGUMENT` for an alias.
   */
  cancelKeyDeletion(request: DryRun<CancelKeyDeletionRequest>): Promise<DryRunResponse>;
  cancelKeyDeletion(request: InEarnest<CancelKeyDeletionRequest>): Promise<CancelKeyDeletionResponse>;
  cancelKeyDeletion(request: CancelKeyDeletionRequest): Promise<CancelKeyDeletionResponse | DryRunResponse> {
    return this.#perform(cancelKeyDeletion, request);
  }

  /**
   * Protects a key from scheduleKeyDeletion, or no longer.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` for a key pending deletion;
   *   `COFFER_INVALID_ARGUMENT` for an alias.
   */
  setDeletionProtection(request: DryRun<SetDeletionProtectionRequest>): Promise<DryRunResponse>;
  setDeletionProtection(request: InEarnest<SetDeletionProtectionRequest>): Promise<void>;
  setDeletionProtection(request: SetDeletionProtectionRequest): Promise<DryRunResponse | void> {
    return this.#perform(setDeletionProtection, request);
  }

  /**
   * Adds tags to a key, or gives present ones another value.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` for a key pending deletion;
   *   `COFFER_LIMIT_EXCEEDED` above 50 tags; `COFFER_INVALID_ARGUMENT`.
   */
  tagResource(request: DryRun<TagResourceRequest>): Promise<DryRunResponse>;
  tagResource(request: InEarnest<TagResourceRequest>): Promise<void>;
  tagResource(request: TagResourceRequest): Promise<DryRunResponse | void> {
    return this.#perform(tagResource, request);
  }

  /**
   * Removes tags from a key; names that it does not have are passed over.
   * @throws CofferError as tagResource does.
   */
  untagResource(request: DryRun<UntagResourceRequest>): Promise<DryRunResponse>;
  untagResource(request: InEarnest<UntagResourceRequest>): Promise<void>;
  untagResource(request: UntagResourceRequest): Promise<DryRunResponse | void> {
    return this.#perform(untagResource, request);
  }

  /**
   * Lists a key's tags, page by page.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_ARGUMENT`.
   */
  listResourceTags(request: DryRun<ListResourceTagsRequest>): Promise<DryRunResponse>;
  listResourceTags(request: InEarnest<ListResourceTagsRequest>): Promise<ListResourceTagsResponse>;
  listResourceTags(request: ListResourceTagsRequest): Promise<ListResourceTagsResponse | DryRunResponse> {
    return this.#perform(listResourceTags, request);
  }

  /**
   * Seals the content of a blob anew, under another key, version or context. Its plaintext leaves nothing behind.
   * @throws CofferError as decrypt and encrypt do.
   */
  reEncrypt(request: DryRun<ReEncryptRequest>): Promise<DryRunResponse>;
  reEncrypt(request: InEarnest<ReEncryptRequest>): Promise<ReEncryptResponse>;
  reEncrypt(request: ReEncryptRequest): Promise<ReEncryptResponse | DryRunResponse> {
    return this.#perform(reEncrypt, request);
  }

  /**
   * Encrypts a data key that the caller made, checked against its SHA-256.
   * @throws CofferError as encrypt does; `COFFER_INVALID_ARGUMENT` reason `digest` when the two do not fit.
   */
  encryptDataKey(request: DryRun<EncryptDataKeyRequest>): Promise<DryRunResponse>;
  encryptDataKey(request: InEarnest<EncryptDataKeyRequest>): Promise<EncryptDataKeyResponse>;
  encryptDataKey(request: EncryptDataKeyRequest): Promise<EncryptDataKeyResponse | DryRunResponse> {
    return this.#perform(encryptDataKey, request);
  }

  /**
   * Decrypts a data key and returns it with its SHA-256.
   * @throws CofferError as decrypt does.
   */
  decryptDataKey(request: DryRun<DecryptDataKeyRequest>): Promise<DryRunResponse>;
  decryptDataKey(request: InEarnest<DecryptDataKeyRequest>): Promise<DecryptDataKeyResponse>;
  decryptDataKey(request: DecryptDataKeyRequest): Promise<DecryptDataKeyResponse | DryRunResponse> {
    return this.#perform(decryptDataKey, request);
  }

  /**
   * Gives a key fresh material now. What was encrypted before still decrypts.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_KEY_DISABLED`; `COFFER_INVALID_KEY_STATE`; `COFFER_LIMIT_EXCEEDED`
   *   after 25 times; `COFFER_INVALID_KEY_USAGE` for material that this vault did not make.
   */
  rotateKeyOnDemand(request: DryRun<RotateKeyOnDemandRequest>): Promise<DryRunResponse>;
  rotateKeyOnDemand(request: InEarnest<RotateKeyOnDemandRequest>): Promise<RotateKeyOnDemandResponse>;
  rotateKeyOnDemand(request: RotateKeyOnDemandRequest): Promise<RotateKeyOnDemandResponse | DryRunResponse> {
    return this.#perform(rotateKeyOnDemand, request);
  }

  /**
   * Gives a key fresh material every 90 to 2,560 days from now on.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_KEY_DISABLED`; `COFFER_INVALID_KEY_STATE`;
   *   `COFFER_INVALID_KEY_USAGE` for material that this vault did not make; `COFFER_INVALID_ARGUMENT`.
   */
  enableKeyRotation(request: DryRun<EnableKeyRotationRequest>): Promise<DryRunResponse>;
  enableKeyRotation(request: InEarnest<EnableKeyRotationRequest>): Promise<void>;
  enableKeyRotation(request: EnableKeyRotationRequest): Promise<DryRunResponse | void> {
    return this.#perform(enableKeyRotation, request);
  }

  /**
   * Ends automatic rotation.
   * @throws CofferError as enableKeyRotation does.
   */
  disableKeyRotation(request: DryRun<DisableKeyRotationRequest>): Promise<DryRunResponse>;
  disableKeyRotation(request: InEarnest<DisableKeyRotationRequest>): Promise<void>;
  disableKeyRotation(request: DisableKeyRotationRequest): Promise<DryRunResponse | void> {
    return this.#perform(disableKeyRotation, request);
  }

  /**
   * Tells whether a key rotates, and when next.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_KEY_STATE` for a key pending import;
   *   `COFFER_INVALID_KEY_USAGE`; `COFFER_INVALID_ARGUMENT`.
   */
  getKeyRotationStatus(request: DryRun<GetKeyRotationStatusRequest>): Promise<DryRunResponse>;
  getKeyRotationStatus(
    request: InEarnest<GetKeyRotationStatusRequest>,
  ): Promise<GetKeyRotationStatusResponse>;
  getKeyRotationStatus(
    request: GetKeyRotationStatusRequest,
  ): Promise<GetKeyRotationStatusResponse | DryRunResponse> {
    return this.#perform(getKeyRotationStatus, request);
  }

  /**
   * Lists the versions of a key's material, page by page.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_ARGUMENT`.
   */
  listKeyRotations(request: DryRun<ListKeyRotationsRequest>): Promise<DryRunResponse>;
  listKeyRotations(request: InEarnest<ListKeyRotationsRequest>): Promise<ListKeyRotationsResponse>;
  listKeyRotations(request: ListKeyRotationsRequest): Promise<ListKeyRotationsResponse | DryRunResponse> {
    return this.#perform(listKeyRotations, request);
  }

  /**
   * Tells when a key last encrypted or decrypted. Dry runs do not count.
   * @throws CofferError `COFFER_NOT_FOUND`; `COFFER_INVALID_ARGUMENT`.
   */
  getKeyLastUsage(request: DryRun<GetKeyLastUsageRequest>): Promise<DryRunResponse>;
  getKeyLastUsage(request: InEarnest<GetKeyLastUsageRequest>): Promise<GetKeyLastUsageResponse>;
  getKeyLastUsage(request: GetKeyLastUsageRequest): Promise<GetKeyLastUsageResponse | DryRunResponse> {
    return this.#perform(getKeyLastUsage, request);
  }

  static {
    redact(this, "[Kms]");
  }

  async #perform<Parameters extends CommonParameters, Response>(
    operation: Operation<Parameters, Response>,
    request: unknown,
  ): Promise<Response | DryRunResponse> {
    const parameters = operation.accept(request);
    try {
      await this.#enter();
      if ("plan" in operation) return await this.#change(operation, parameters);
      const keystore = this.#host.keystore();
      const response = operation.perform(keystore, parameters);
      if (parameters.dryRun !== true) {
        if (operation.keysUsed !== undefined)
          keystore.usage.note(operation.keysUsed(response), operation.name);
        return response;
      }
      wipeAnswer(response);
      return { dryRun: true };
    } finally {
      wipe(...(operation.secretsOf?.(parameters) ?? []));
    }
  }

  /** What is due happens first, so that every call finds the keys as the time has them. */
  async #enter(): Promise<void> {
    await this.#host.ready();
    const keystore = this.#host.keystore();
    if (!keystore.isDue) return;
    await keystore.settleDue();
    await this.#host.ready();
  }

  async #change<Parameters extends CommonParameters, Response>(
    operation: ChangingOperation<Parameters, Response>,
    parameters: Parameters,
  ): Promise<Response | DryRunResponse> {
    const keystore = this.#host.keystore();
    try {
      return await keystore.change((transaction) => {
        const response = operation.plan(keystore, parameters, transaction);
        if (parameters.dryRun === true) throw new DryRunEnd(transaction.isEmpty);
        return response;
      });
    } catch (error) {
      if (!(error instanceof DryRunEnd)) throw error;
      // What changes nothing is refused nowhere.
      if (!error.isEmpty && !this.#host.mayWrite) throw openForReadingOnly();
      return { dryRun: true };
    }
  }
}

/** Wipes the byte members of an answer that nobody gets. */
function wipeAnswer(response: unknown): void {
  if (typeof response !== "object" || response === null) return;
  for (const member of Object.values(response)) if (member instanceof Uint8Array) wipe(member);
}
