/**
 * What an operation of the KMS is made of. One file holds one operation; kms.ts performs them all the same way.
 * @module
 */
import type { Keystore } from "../keystore/keystore.ts";
import type { Transaction } from "../storage/transaction.ts";

/**
 * A request that is only tried: everything is checked and worked out as in earnest, a change is worked out against
 * the keys as they are, and then all of it is dropped.
 */
export type DryRun<Request> = Request & { readonly dryRun: true };

/** A request in earnest. */
export type InEarnest<Request> = Request & { readonly dryRun?: false | undefined };

/**
 * The answer to a dry run that would have succeeded; one that would have failed rejects with the error of the real
 * call. AWS answers success with an exception, `DryRunOperationException`, which only its adapter raises.
 */
export interface DryRunResponse {
  readonly dryRun: true;
}

/** What every request may say beside its own members. */
export interface CommonParameters {
  readonly dryRun?: boolean | undefined;
}

interface Accepts<Parameters extends CommonParameters> {
  /** As `vault.kms` has it. */
  readonly name: string;
  /**
   * Checks a request and copies what it holds, reading each member once: from then on the caller may change it.
   * @throws TypeError for a wrong type or an unknown member; a `CofferError` for a value that cannot be accepted.
   */
  readonly accept: (request: unknown) => Parameters;
  /** Wiped when the operation is over, however it ended. */
  readonly secretsOf?: (parameters: Parameters) => readonly Uint8Array[];
}

/** An operation that changes nothing. What it reads is one durable state, from end to end. */
export interface ReadingOperation<Parameters extends CommonParameters, Response> extends Accepts<Parameters> {
  readonly perform: (keystore: Keystore, parameters: Parameters) => Response;
  /** Ids of the keys whose material was used, for getKeyLastUsage. */
  readonly keysUsed?: (response: Response) => readonly string[];
}

/** An operation that changes records, in one batch. It reads through the transaction, and sees one state. */
export interface ChangingOperation<
  Parameters extends CommonParameters,
  Response,
> extends Accepts<Parameters> {
  readonly plan: (keystore: Keystore, parameters: Parameters, transaction: Transaction) => Response;
}

export type Operation<Parameters extends CommonParameters, Response> =
  ReadingOperation<Parameters, Response> | ChangingOperation<Parameters, Response>;
