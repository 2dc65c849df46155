// The pages that the signaling server embeds are what the sources build.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const UI = join(import.meta.dirname, "..");
const COMMITTED = join(UI, "../signaling/src/server/guest_page");
/** For a phone on a slow network: a second at 640 kbit/s. */
const MAX_GZIPPED_BYTES = 80 * 1024;

test("a fresh build gives the committed pages, which are small", () => {
  const folder = mkdtempSync(join(tmpdir(), "tandem-guest-page-"));
  try {
    const vite = join(UI, "node_modules/vite/bin/vite.js");
    const build = ["build", "--config", "vite.guest.config.ts", "--outDir", folder];
    execFileSync(process.execPath, [vite, ...build, "--logLevel", "error"], { cwd: UI });
    assert.deepEqual(readdirSync(folder).sort(), ["guest.html", "home.html"]);
    for (const name of readdirSync(folder)) {
      const built = readFileSync(join(folder, name));
      const isSame = built.equals(readFileSync(join(COMMITTED, name)));
      assert.ok(isSame, `${name} differs: run \`npm run build:guest\` and commit the result`);
      const size = gzipSync(built).length;
      assert.ok(size <= MAX_GZIPPED_BYTES, `${name}: ${size} bytes`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
