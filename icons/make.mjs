// Makes all sizes and formats that Tauri's bundles need from tandem.svg: `npm run icons` in ui/.

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const tauri = join(here, "../ui/node_modules/@tauri-apps/cli/tauri.js");

execFileSync(process.execPath, [tauri, "icon", join(here, "tandem.svg"), "-o", here], { stdio: "inherit" });
// For phones, and a size that no bundle uses.
for (const unwanted of ["android", "ios", "64x64.png"]) rmSync(join(here, unwanted), { recursive: true, force: true });
