/**
 * Databases in memory that outlive their closing, as those in files do, for tests of applications. A file in the
 * database's folder says which one it is, so that folders can be renamed and removed as usual.
 * @module
 */
import { join } from "node:path";
import { fromUtf8, hex, utf8 } from "../bytes.ts";
import { randomId } from "../crypto/random.ts";
import { DamagedError } from "../errors.ts";
import { writeTemporary } from "./atomic-file.ts";
import { type FileSystem, hasErrno } from "./file-system.ts";
import { ioError } from "./io-error.ts";
import { openMemoryStore } from "./memory-store.ts";
import { type Store, StoreClosedError } from "./store.ts";

const NAME = "MEMORY";
const MAX_NAME_BYTES = 64;

/** Returns what opens and creates databases in folders of this file system. */
export function memoryEngines(
  fs: FileSystem,
): (directory: string, options: { readonly create: boolean }) => Promise<Store> {
  const stores = new Map<string, Store>();
  return async (directory, { create }) => {
    const path = join(directory, NAME);
    if (create) {
      const id = hex(randomId());
      const store = openMemoryStore();
      try {
        await fs.mkdir(directory);
      } catch (error) {
        throw ioError(error, "make the database", directory);
      }
      await writeTemporary(fs, path, utf8(id));
      stores.set(id, store);
      return viewOf(store);
    }
    const store = stores.get(await idIn(fs, path));
    if (store === undefined) throw missing();
    return viewOf(store);
  };
}

/** What closes alone, and leaves the store for the next one who opens it. */
function viewOf(store: Store): Store {
  let isClosed = false;
  const open = (): Store => {
    if (isClosed) throw new StoreClosedError();
    return store;
  };
  return {
    get: (key) => open().get(key),
    entries: (range) => open().entries(range),
    write: async (batch) => open().write(batch),
    compact: async (start, end) => open().compact(start, end),
    snapshot: () => open().snapshot(),
    close: async () => {
      isClosed = true;
    },
  };
}

async function idIn(fs: FileSystem, path: string): Promise<string> {
  try {
    return fromUtf8(await fs.readFile(path, { maxBytes: MAX_NAME_BYTES }));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) throw missing();
    throw ioError(error, "open the database", path);
  }
}

function missing(): DamagedError {
  return new DamagedError("The vault's database is missing.", { details: { part: "database" } });
}
