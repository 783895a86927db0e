import { close, open } from "node:inspector";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { createVault, openVault, type VaultNotice } from "../src/index.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

const scratch = scratchDirectories();

afterEach(close);

test("opening warns of a debugger that can attach, and only then: A-25", async () => {
  const directory = join(await scratch(), "v");
  const { vault } = await createVault(directory, { unlock: cheapPassphrase() });
  await vault.close();
  const warnings = async (): Promise<string[]> => {
    const messages: string[] = [];
    const onWarning = ({ message }: VaultNotice): void => void messages.push(message);
    await (await openVault(directory, { unlock: cheapPassphrase(), onWarning })).close();
    return messages;
  };
  expect(await warnings()).toEqual([]);
  open(0, "127.0.0.1");
  expect(await warnings()).toEqual([expect.stringContaining("debugger")]);
  close();
  expect(await warnings()).toEqual([]);
});
