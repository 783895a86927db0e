/**
 * Names of the store as file names of a system. What the system cannot take is written as `%` and two hexadecimal
 * digits of the character's byte, so that no two names become one by it.
 * @module
 */
import { utf8 } from "../bytes.ts";
import { isStorePart } from "../formats/store-path.ts";
import { MAX_PART_BYTES } from "../limits.ts";

// What Windows refuses in a name, and what it drops from its end.
// oxlint-disable-next-line no-control-regex -- they are what is refused
const FORBIDDEN = /[\u0000-\u001f"*/:<>?\\|%]/gu;
const DROPPED_END = /[. ]$/u;
/** Devices, with any extension. */
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?=\s*(?:\.|$))/iu;

/**
 * Returns a file name for a part of a path, the same one unless the system refuses it; undefined where it would be too
 * long then, and for what is no part of a path.
 */
export function exportName(part: string, platform: NodeJS.Platform): string | undefined {
  if (!isStorePart(part)) return undefined;
  if (platform !== "win32") return part;
  const isTaken = DEVICE.test(part) || DROPPED_END.test(part) || part.search(FORBIDDEN) !== -1;
  if (!isTaken) return part;
  const name = part
    .replace(FORBIDDEN, escaped)
    .replace(DEVICE, (device) => escaped(device.charAt(0)) + device.slice(1))
    .replace(DROPPED_END, escaped);
  return utf8(name).length > MAX_PART_BYTES ? undefined : name;
}

/** Only characters of one byte come here. */
function escaped(character: string): string {
  return `%${(character.codePointAt(0) as number).toString(16).toUpperCase().padStart(2, "0")}`;
}
