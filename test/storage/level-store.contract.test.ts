import { join } from "node:path";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { scratchDirectories } from "./scratch.ts";
import { describeStoreContract } from "./store.contract.ts";

const scratch = scratchDirectories();

describeStoreContract("level", async () => openLevelStore(join(await scratch(), "db-1"), { create: true }));
