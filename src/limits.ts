/**
 * Every ceiling of the library, with its reason. Formats refuse what passes them before memory or time is spent.
 * @module
 */

/** Plaintext of one Encrypt, in bytes: the newest Alibaba scenario's 6 KB; the other clouds have 4,096. */
export const MAX_ENCRYPT_BYTES = 6144;

/** Plaintext of one SEAL, in bytes: one chunk of C2SP chunked-encryption, whose last chunk is always shorter. */
export const MAX_SEAL_BYTES = 16_383;

/** Data key or random bytes of one call: 1 to 1,024, as in AWS, Alibaba and Tencent KMS. */
export const MAX_DATA_KEY_BYTES = 1024;

/** Pairs of an encryption context. */
export const MAX_CONTEXT_PAIRS = 64;

/** Encoded bytes of an encryption context: Alibaba's and Huawei's 8,192. */
export const MAX_CONTEXT_BYTES = 8192;

/** Description of a CMK, in UTF-8 bytes: AWS's 8,192, counted in bytes so that a record's size is bounded. */
export const MAX_DESCRIPTION_BYTES = 8192;

/** Alias name with its `alias/` prefix, in characters (all ASCII): AWS's 256. */
export const MAX_ALIAS_LENGTH = 256;

/** Tags of one CMK; key and value in characters: AWS's limits. */
export const MAX_TAGS = 50;
export const MAX_TAG_KEY_LENGTH = 128;
export const MAX_TAG_VALUE_LENGTH = 256;

export const MS_PER_DAY = 86_400_000;

/** Waiting time of a deletion, in days: AWS's least and default, Alibaba's most. */
export const MIN_DELETION_DAYS = 7;
export const DEFAULT_DELETION_DAYS = 30;
export const MAX_DELETION_DAYS = 366;

/** Rotation period, in days: AWS's. */
export const MIN_ROTATION_DAYS = 90;
export const DEFAULT_ROTATION_DAYS = 365;
export const MAX_ROTATION_DAYS = 2560;

/** Rotations of one CMK on demand: AWS's 25. */
export const MAX_ON_DEMAND_ROTATIONS = 25;

/** Keys and versions: what a 32-bit version and a database of this kind carry with room to spare. */
export const MAX_PAGE = 1000;

/** Vault header file, in bytes: 16 slots with room for token fields. */
export const MAX_HEADER_BYTES = 65_536;
export const MAX_SLOTS = 16;

/** Label of a slot, in UTF-8 bytes: its length field is one byte. */
export const MAX_LABEL_BYTES = 255;

/** Passphrase after normalisation, in bytes: longer input is a file given by mistake. */
export const MAX_PASSPHRASE_BYTES = 1024;

/**
 * Argon2id. Floor: RFC 9106's second recommended choice. Ceiling: a header is hostile until it authenticates,
 * and must not cost the machine. Calibration never writes more than 256 MiB: a vault made on a big machine must
 * open on a small one.
 */
export const ARGON2_MIN_MEMORY_KIB = 65_536;
export const ARGON2_MIN_PASSES = 3;
export const ARGON2_MAX_MEMORY_KIB = 1_048_576;
export const ARGON2_MAX_PASSES = 64;
export const ARGON2_MAX_LANES = 16;
export const ARGON2_CALIBRATION_MAX_MEMORY_KIB = 262_144;

/** CBOR records: nesting and items. A record itself is at most {@link MAX_SEAL_BYTES}. */
export const MAX_CBOR_DEPTH = 4;
export const MAX_CBOR_ITEMS = 4096;

/** One commit takes this many queued changes, or this many bytes, whichever comes first. */
export const MAX_COMMIT_CHANGES = 256;
export const MAX_COMMIT_BYTES = 1_048_576;

/** One part of a path in the file store, in UTF-8 bytes: what common file systems take, so that it can be exported. */
export const MAX_PART_BYTES = 255;

/** A whole path in the file store, in UTF-8 bytes: Linux's PATH_MAX. */
export const MAX_STORE_PATH_BYTES = 4096;

/** Metadata of one file, in canonical bytes: with a blob of {@link MAX_ENCRYPT_BYTES} it fits into one record. */
export const MAX_METADATA_BYTES = 4096;
