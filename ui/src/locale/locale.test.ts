// Checks the words: every code has some, no string is left unused, and each reads as a whole
// sentence.

// @vitest-environment node
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { en } from "./en";
import type { Words } from "./errors.en";
import { unusedStrings } from "../testing/unused-strings";
import { words, wordsFor } from ".";

const ROOT = join(import.meta.dirname, "../../..");
const known: Record<string, Words> = words.errors;

/** Rust files under `folder`, without tests. */
function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".rs") && !/(^|[/\\])tests?([/\\.]|_|$)/u.test(file))
    .map(
      (file) => readFileSync(join(ROOT, folder, file), "utf8").split("#[cfg(test)]\nmod")[0] ?? "",
    );
}

const strings = (text: string, pattern: RegExp) =>
  Array.from(text.matchAll(pattern), (match) => match[1] ?? "");

/**
 * Device and file codes, codes of the signaling client, ends of a call, and what the desktop adds.
 */
function codes(): string[] {
  const devices = /"((?:CAM|MIC|SPEAKER|FILE|DISK)_[A-Z_]+)"/gu;
  const desktop =
    /"((?:CAM|MIC|SPEAKER|FILE|DISK|HOST|RELAY|SETTINGS|ROOM|CALL|SIGNALING|DEVICES)_[A-Z_]+)"/gu;
  const contract = readFileSync(join(ROOT, "ui/src/generated/contract.ts"), "utf8");
  const commandErrors = /type CommandErrorCode =([^;]*);/u.exec(contract)?.[1] ?? "";
  const client = readFileSync(join(ROOT, "signaling/src/client/error.rs"), "utf8");
  const reasons = readFileSync(join(ROOT, "src-tauri/call/src/machine/reason.rs"), "utf8");
  return [
    ...sources("src-tauri/media/src").flatMap((text) => strings(text, devices)),
    ...sources("src-tauri/call/src/session").flatMap((text) => strings(text, devices)),
    ...sources("src-tauri/src/desktop").flatMap((text) => strings(text, desktop)),
    ...strings(client, /=> "(SIGNALING_[A-Z_]+)"/gu),
    ...strings(reasons, /=> "([A-Z_]+)"/gu),
    ...strings(commandErrors, /"([A-Z_]+)"/gu),
  ];
}

/** Every string of the locale file, with its path. */
function leaves(value: unknown, path: string): [string, string][] {
  if (typeof value === "string") return [[path, value]];
  return Object.entries(value as object).flatMap(([key, child]) => leaves(child, `${path}.${key}`));
}

describe("the words", () => {
  // A stand-in for `satisfies Record<ErrorCode, Words>`, until the app's codes are one generated
  // type.
  it("cover every code that the app can send", () => {
    const all = new Set(codes());
    const samples = [
      "CAM_IN_USE",
      "SPEAKER_TIMEOUT",
      "SIGNALING_BROKEN",
      "PARTNER_LEFT",
      "BAD_ROOM",
    ];
    for (const sample of samples) expect(all, "the search itself works").toContain(sample);
    const missing = Array.from(all).filter((code) => !Object.hasOwn(known, code));
    expect(missing, "codes without words in errors.en.ts").toEqual([]);
  });

  it("say what happened and at most one thing to do, as sentences", () => {
    for (const [code, { what, todo }] of Object.entries(known)) {
      expect(what, code).toMatch(/^\p{Lu}.*\.$/u);
      if (todo !== undefined) expect(todo, code).toMatch(/^\p{Lu}.*\.$/u);
    }
    expect(wordsFor("CAM_IN_USE")).toEqual({
      what: "Another app is using your camera.",
      todo: "Close that app, then try again.",
    });
  });

  it("have something to say about unknown codes", () => {
    for (const code of ["", "FROM_A_NEWER_APP", "constructor", "__proto__"]) {
      expect(wordsFor(code)).toBe(words.unknownError);
    }
  });

  it("are complete: no string is empty, unfinished or padded with spaces", () => {
    const all = leaves(en, "en");
    expect(all.length).toBeGreaterThan(150);
    for (const [path, text] of all) {
      expect(text.trim(), path).toBe(text);
      expect(text, path).not.toBe("");
      expect(text, path).not.toMatch(/TODO|FIXME|undefined|\bnull\b/u);
    }
  });

  it("are at most two sentences", () => {
    const sentences = (text: string) => (text.match(/[.!?…](?=\s|$)/gu) ?? []).length;
    for (const [path, text] of leaves(en, "en")) {
      expect(sentences(text), path).toBeLessThanOrEqual(2);
    }
    for (const [code, { what, todo }] of Object.entries(known)) {
      expect(sentences(`${what} ${todo ?? ""}`), code).toBeLessThanOrEqual(2);
    }
  });

  it("use the window's words, not the engineers'", () => {
    for (const [path, text] of leaves(en, "en")) {
      expect(text, path).not.toMatch(/\b(partner|relay|signaling|TURN|peer|somebody|nobody)\b/iu);
    }
  });

  it("are all used", { timeout: 120_000 }, () => {
    expect(unusedStrings(join(ROOT, "ui"))).toEqual([]);
  });
});
