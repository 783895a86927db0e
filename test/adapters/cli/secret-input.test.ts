import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Arguments, UsageError } from "../../../src/adapters/cli/arguments.ts";
import { newPassphraseFrom, unlockerFrom } from "../../../src/adapters/cli/secret-input.ts";
import { scratchDirectories } from "../../storage/scratch.ts";

const scratch = scratchDirectories();
const { signal } = new AbortController();
let file = "";

beforeAll(async () => {
  file = join(await scratch(), "secret");
});

async function unlockerOf(option: string, contents: string | Uint8Array): Promise<unknown> {
  await writeFile(file, contents);
  return unlockerFrom(new Arguments(new Map([[option, [file]]]), []), "v", signal);
}

describe("a passphrase file", () => {
  test.each([
    ["one line", "one"],
    ["a line feed at its end", "one\n"],
    ["a carriage return and a line feed at its end", "one\r\n"],
    ["a byte order mark", "\ufeffone"],
  ])("may have %s", async (_, contents) => {
    expect(await unlockerOf("passphrase-file", contents)).toMatchObject({ kind: "passphrase" });
  });

  test.each([
    ["bytes that are not UTF-8", Uint8Array.of(0xff, 0xfe, 0x61, 0), "COFFER_INVALID_ARGUMENT"],
    ["two lines", "canary\nlines\n", "COFFER_INVALID_ARGUMENT"],
    ["two newlines at its end", "canary\n\n", "COFFER_INVALID_ARGUMENT"],
    ["nothing", "\n", "COFFER_INVALID_ARGUMENT"],
    ["1,025 bytes", "a".repeat(1025), "COFFER_LIMIT_EXCEEDED"],
    ["a megabyte", "a".repeat(1_000_000), "COFFER_LIMIT_EXCEEDED"],
  ])("with %s is refused", async (_, contents, code) => {
    const refused = unlockerOf("passphrase-file", contents);
    await expect(refused).rejects.toMatchObject({ code, message: expect.not.stringContaining("canary") });
  });
});

describe("a recovery code file", () => {
  const CODE = "06TG-EBJQ-000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFJ-1RBE";

  test("may be folded and in lower case", async () => {
    const folded = `${CODE.toLowerCase().replaceAll("-", " ").slice(0, 39)}\n${CODE.slice(40)}\r\n`;
    expect(await unlockerOf("recovery-code-file", folded)).toMatchObject({ kind: "recovery" });
  });

  test("with a typing error is refused at once, and not repeated", async () => {
    const refused = unlockerOf("recovery-code-file", CODE.replace("06TG", "06TH"));
    await expect(refused).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: "typo",
      message: expect.not.stringContaining("EBJQ"),
    });
  });
});

describe("the way in", () => {
  test("is one of the two", async () => {
    const both = new Arguments(
      new Map([
        ["passphrase-file", [file]],
        ["recovery-code-file", [file]],
      ]),
      [],
    );
    await expect(unlockerFrom(both, "v", signal)).rejects.toThrow(UsageError);
  });

  test("that cannot be read says so", async () => {
    const missing = new Arguments(new Map([["passphrase-file", [`${file}.none`]]]), []);
    await expect(newPassphraseFrom(missing, "v", signal)).rejects.toMatchObject({ code: "COFFER_IO" });
  });
});
