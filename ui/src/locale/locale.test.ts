// Checks the words: no string is unused, none has more than two sentences, and every error is
// written as whole sentences. The compiler checks that every code has words.

// @vitest-environment node
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { unusedStrings } from "../testing/unused-strings";
import { en } from "./en";
import type { Words } from "./errors.en";
import { type Code, words, wordsElsewhere, wordsFor } from ".";

const ROOT = join(import.meta.dirname, "../../..");
const known: Record<string, Words> = words.errors;

/** Every string of the locale file, with its path. */
function leaves(value: unknown, path: string): [string, string][] {
  if (typeof value === "string") return [[path, value]];
  return Object.entries(value as object).flatMap(([key, child]) => leaves(child, `${path}.${key}`));
}

describe("the words", () => {
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
      expect(wordsFor(code as Code)).toBe(words.unknownError);
    }
  });

  it("do not blame the settings for the server of a link", () => {
    const codes = Object.keys(known) as Code[];
    const ofServers = codes.filter((code) => /^SIGNALING_|^RELAY_[RU]|^NO_TURN/u.test(code));
    expect(ofServers.length).toBeGreaterThan(20);
    for (const code of ofServers) {
      const { what, todo } = wordsElsewhere(code);
      expect(what).toBe(wordsFor(code).what);
      expect(todo, code).not.toMatch(/^(?!To call there).*in Settings/u);
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
    for (const code of Object.keys(known) as Code[]) {
      for (const { what, todo } of [wordsFor(code), wordsElsewhere(code)]) {
        expect(sentences(`${what} ${todo ?? ""}`), code).toBeLessThanOrEqual(2);
      }
    }
  });

  it("use the window's words, not the engineers'", () => {
    for (const [path, text] of leaves(en, "en")) {
      expect(text, path).not.toMatch(/\b(partner|relay|signaling|TURN|peer|somebody|nobody)\b/iu);
    }
  });

  // In milliseconds: the TypeScript compiler reads the whole page, on a busy machine.
  it("are all used", { timeout: 120_000 }, () => {
    expect(unusedStrings(join(ROOT, "ui"))).toEqual([]);
  });
});
