/**
 * Text from a vault or a file on its way to a terminal: what a terminal would obey, or hide, is shown as an escape.
 * @module
 */
/** Controls, invisible formatting such as direction marks, line separators, and halves of a character. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** The same beyond what JSON.stringify escapes by itself, in units of UTF-16. */
const UNPRINTABLE_IN_JSON = /[\u007f-\u{10ffff}]/gu;

const SHORT: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/** Returns one line without anything that moves a cursor, changes colours, hides or reverses text. */
export function terminalText(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => SHORT.get(character) ?? `\\u{${hexOf(character)}}`);
}

/** Returns the value as JSON on one line; a reader gets the exact strings back. */
export function terminalJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNPRINTABLE_IN_JSON, (character) =>
    character.search(UNPRINTABLE) === -1
      ? character
      : Array.from({ length: character.length }, (_, at) => unitEscape(character.charCodeAt(at))).join(""),
  );
}

/** True when bytes are UTF-8 text that a terminal can be given as it is. */
export function isPrintable(bytes: Uint8Array): boolean {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.replaceAll(/\r?\n|\t/gu, "").search(UNPRINTABLE) === -1;
  } catch {
    return false;
  }
}

function hexOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}

function unitEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
