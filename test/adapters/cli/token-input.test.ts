import { expect, test } from "vitest";
import { Arguments, UsageError } from "../../../src/adapters/cli/arguments.ts";
import { COMMANDS } from "../../../src/adapters/cli/commands.ts";
import { SECRET_OPTIONS, unlockerFrom } from "../../../src/adapters/cli/secret-input.ts";

const { signal } = new AbortController();
const MODULE = "/usr/lib/module.so";

async function refusal(options: Readonly<Record<string, string>>): Promise<string> {
  const values = new Map(Object.entries(options).map(([name, value]) => [name, [value]]));
  try {
    await unlockerFrom(new Arguments(values, []), "v", signal);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error("taken");
}

test("options of a token that cannot be meant are usage errors", async () => {
  expect(await refusal({ "pin-file": "pin" })).toContain("name its module");
  expect(await refusal({ "token-label": "t" })).toContain("name its module");
  expect(await refusal({ "with-passphrase": "" })).toContain("--module");
  expect(await refusal({ module: MODULE, "recovery-code-file": "c" })).toContain("one of --module");
  expect(await refusal({ module: MODULE, "key-id": "xy" })).toContain("hexadecimal");
  expect(await refusal({ module: MODULE, "token-uri": "pkcs11:", "key-id": "03" })).toContain("alone");
});

test("a module is enough to open with, and is taken by its absolute path alone", async () => {
  const given = (module: string): Arguments => new Arguments(new Map([["module", [module]]]), []);
  expect((await unlockerFrom(given(MODULE), "v", signal)).kind).toBe("pkcs11");
  await expect(unlockerFrom(given("module.so"), "v", signal)).rejects.toMatchObject({
    reason: "module-path",
  });
});

test("every command that opens a vault takes a token", () => {
  const opening = COMMANDS.filter(({ options }) => "recovery-code-file" in options);
  expect(opening.length).toBeGreaterThan(30);
  for (const { name, options } of opening) {
    const missing = Object.keys(SECRET_OPTIONS).filter((option) => !(option in options));
    expect([name, missing]).toEqual([name, name === "slot add-token" ? ["with-passphrase"] : []]);
  }
});
