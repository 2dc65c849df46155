// That every code which the app can show has words. The codes are read from the Rust sources, so that a new one is
// noticed here before anybody sees "Something went wrong".

// @vitest-environment node
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { en } from "./en";
import { words, wordsFor } from ".";

const ROOT = join(import.meta.dirname, "../../..");

/** Rust files under `folder`, without tests. */
function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".rs") && !/(^|[/\\])tests?([/\\.]|_|$)/u.test(file))
    .map((file) => readFileSync(join(ROOT, folder, file), "utf8").split("#[cfg(test)]")[0] ?? "");
}

const strings = (text: string, pattern: RegExp) => Array.from(text.matchAll(pattern), (match) => match[1] ?? "");

/** Device and file codes, codes of the relay's client, ends of a call, and whatever the desktop shell adds. */
function codes(): string[] {
  const devices = /"((?:CAM|MIC|SPEAKER|FILE|DISK)_[A-Z_]+)"/gu;
  const desktop = /"((?:CAM|MIC|SPEAKER|FILE|DISK|HOST|RELAY|SETTINGS|ROOM|CALL|SIGNALING|DEVICES)_[A-Z_]+)"/gu;
  return [
    ...sources("src-tauri/media/src").flatMap((text) => strings(text, devices)),
    ...sources("src-tauri/src/desktop").flatMap((text) => strings(text, desktop)),
    ...strings(readFileSync(join(ROOT, "signaling/src/client/error.rs"), "utf8"), /=> "(SIGNALING_[A-Z_]+)"/gu),
    ...strings(readFileSync(join(ROOT, "src-tauri/call/src/machine/reason.rs"), "utf8"), /=> "([A-Z_]+)"/gu),
    ...strings(
      /type CommandErrorCode =([^;]*);/u.exec(readFileSync(join(ROOT, "ui/src/generated/contract.ts"), "utf8"))?.[1] ??
        "",
      /"([A-Z_]+)"/gu,
    ),
  ];
}

/** Every string of the locale file, with its path. */
function leaves(value: unknown, path: string): [string, string][] {
  if (typeof value === "string") return [[path, value]];
  return Object.entries(value as object).flatMap(([key, child]) => leaves(child, `${path}.${key}`));
}

describe("the words", () => {
  it("know every code that the app can show", () => {
    const all = new Set(codes());
    for (const known of ["CAM_IN_USE", "SPEAKER_TIMEOUT", "SIGNALING_BROKEN", "PARTNER_LEFT", "BAD_ROOM"]) {
      expect(all, "the search itself works").toContain(known);
    }
    const missing = Array.from(all).filter((code) => !Object.hasOwn(words.errors, code));
    expect(missing, "codes without words in errors.en.ts").toEqual([]);
  });

  it("say what happened and one thing to do, as sentences", () => {
    for (const [code, { what, todo }] of Object.entries(words.errors)) {
      for (const sentence of [what, todo]) expect(sentence, code).toMatch(/^\p{Lu}.*\.$/u);
    }
    expect(wordsFor("CAM_IN_USE")).toEqual({
      what: "The camera is used by another app.",
      todo: "Close it and try again, or continue with sound only.",
    });
  });

  it("have something to say about codes from the future, and about none", () => {
    for (const code of ["", "NEVER_HEARD_OF", "constructor", "__proto__"]) {
      expect(wordsFor(code)).toBe(words.unknownError);
    }
  });

  it("are whole: no string is empty, unfinished or left with spaces around it", () => {
    const all = leaves(en, "en");
    expect(all.length).toBeGreaterThan(150);
    for (const [path, text] of all) {
      expect(text.trim(), path).toBe(text);
      expect(text, path).not.toBe("");
      expect(text, path).not.toMatch(/TODO|FIXME|undefined|\bnull\b/u);
    }
  });
});
