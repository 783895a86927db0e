import { execFile, type ExecFileException } from "node:child_process";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { canaryBytes } from "./canary.ts";
import { root } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const scratch = scratchDirectories();

interface Search {
  readonly piecesOf: (secrets: readonly Uint8Array[]) => Buffer[];
  readonly findPieces: (
    directory: string,
    pieces: readonly Buffer[],
  ) => Promise<{ files: number; bytes: number; found: string[] }>;
}

/** Plain JavaScript, as all of the demo. */
function search(): Promise<Search> {
  return import(new URL("../demo/find-pieces.mjs", import.meta.url).href) as Promise<Search>;
}

interface Ended {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

function runDemo(program: string, temporary: string): Promise<Ended> {
  const env = { ...process.env, TMPDIR: temporary, TEMP: temporary, TMP: temporary };
  return new Promise((resolve) => {
    execFile(process.execPath, [program], { env, timeout: 50_000 }, (error, output, errors) => {
      const { code } = error ?? ({ code: 0 } as ExecFileException);
      resolve({ code: Number(code), output, errors });
    });
  });
}

describe("the demo", () => {
  test("tells all stories, with times, and leaves nothing behind", async () => {
    const temporary = await scratch();
    const { code, output, errors } = await runDemo(join(root, "demo/main.mjs"), temporary);
    expect(errors).toBe("");
    expect(code).toBe(0);
    const steps = [
      "creates a customer master key: alias/Apollo/WorkKey",
      "encrypts certs/key.pem with it: certs/key.pem.cipher",
      "removes certs/key.pem",
      "opens the vault with the passphrase",
      "decrypts the private key, in memory",
      "starts an HTTPS server with it",
      "fetches a page, trusting that one certificate only",
      "searches every file for pieces of the key and the passphrase: none",
      "makes a file of 256 MiB: film.mp4",
      "encrypts it, durable when done: film.mp4.cof",
      "decrypts that into another file: film-back.mp4",
      "compares the two, byte by byte: equal",
      "reads 4 KiB from the middle, without decrypting the rest",
      "changes one bit of the encrypted file",
      "is refused when it is to decrypt that, and no file is left behind",
      "imports it into the vault, durable when done",
      "lists it, with all below: the same names and lengths",
      "searches every file of the vault for a name and a line of them: none",
      "streams 1 MB from the middle of the clip, as a player would",
      "exports it into another folder: attachments-back",
      "compares the two folders, byte by byte: equal",
      "verifies the whole store: no problem",
    ];
    const told = steps.filter((step) => new RegExp(`^ +${step} +\\d+ ms$`, "mu").test(output));
    expect(told).toEqual(steps);
    expect(output).toMatch(/^Encrypted at [1-9][\d,]* MB\/s and decrypted at [1-9][\d,]* MB\/s/mu);
    expect(await readdir(temporary)).toEqual([]);
  });

  // One line of a copy is changed: the server keeps the key in a file, as it must not.
  test("fails when the second process leaves the key in a file", async () => {
    const app = await scratch();
    const temporary = join(app, "tmp");
    await mkdir(temporary);
    await mkdir(join(app, "node_modules"));
    await cp(join(root, "demo"), join(app, "demo"), { recursive: true });
    await symlink(root, join(app, "node_modules/coffer"), "dir");
    for (const name of ["@peculiar", "reflect-metadata"]) {
      await symlink(join(root, "node_modules", name), join(app, "node_modules", name), "dir");
    }
    const server = join(app, "demo/server.mjs");
    const honest = await readFile(server, "utf8");
    const leaking = honest
      .replace("import { readFile }", 'import { tmpdir } from "node:os";\nimport { readFile, writeFile }')
      .replace("key.fill(0);", "await writeFile(`${tmpdir()}/log`, key);");
    expect(leaking).toContain("/log`, key)");
    await writeFile(server, leaking);
    const { code, output, errors } = await runDemo(join(app, "demo/main.mjs"), temporary);
    expect(output).toContain("starts an HTTPS server with it");
    expect(errors).toContain("tmp/log");
    expect(code).toBe(1);
    expect(await readdir(temporary)).toEqual([]);
  });
});

describe("the demo's search", () => {
  const secret = Buffer.from(canaryBytes("demo", 96));

  test.each([
    ["as it is", secret],
    ["in hexadecimal", secret.toString("hex")],
    ["in Base64", secret.toString("base64")],
    ["in Base64 one byte further", Buffer.concat([Buffer.from("x"), secret]).toString("base64")],
    ["in Base64 of lines", secret.toString("base64").replaceAll(/.{20}/gu, "$&\n")],
  ])("finds a secret %s among other bytes", async (_how, content) => {
    const directory = await scratch();
    await mkdir(join(directory, "a/b"), { recursive: true });
    const file = join(directory, "a/b/file");
    await writeFile(
      file,
      Buffer.concat([Buffer.from("before "), Buffer.from(content), Buffer.from(" after")]),
    );
    const { piecesOf, findPieces } = await search();
    expect((await findPieces(directory, piecesOf([secret]))).found).toEqual([file]);
  });

  test("finds nothing elsewhere", async () => {
    const directory = await scratch();
    await writeFile(join(directory, "file"), Buffer.alloc(4096, "other"));
    const { piecesOf, findPieces } = await search();
    expect(await findPieces(directory, piecesOf([secret]))).toEqual({ files: 1, bytes: 4096, found: [] });
  });
});
