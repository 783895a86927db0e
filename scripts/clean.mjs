/** Removes what a build leaves. @module */
import { rmSync } from "node:fs";

for (const name of ["dist", "coverage"]) {
  rmSync(new URL(`../${name}`, import.meta.url), { recursive: true, force: true });
}
