import { describe, expect, it } from "vitest";

import names from "../../signaling/src/message/names.json";
import { canBeSeen, initial, plain, safePicture } from "./text";

describe("text from others", () => {
  it("keeps names in every script", () => {
    const names = ["Zoë", "Ольга", "محمد", "नेहा", "李小龍", "👩‍👩‍👧 Family", "O’Brien"];
    for (const name of names) expect(plain(name)).toBe(name);
  });

  it("loses what affects other text", () => {
    expect(plain("a\u0000b\u0007\u009bc")).toBe("a b c");
    expect(plain("\u202Egnirts\u2066x\u2069\u200F")).toBe("gnirtsx");
    expect(plain(" two\n\nlines\t")).toBe("two lines");
  });

  it("keeps at most three marks on a letter", () => {
    expect(plain(`e${"\u0301".repeat(50)}`)).toBe(`e${"\u0301".repeat(3)}`);
  });

  it("is cut between code points, never within one", () => {
    expect(plain("😀".repeat(200), 10)).toBe(`${"😀".repeat(9)}…`);
  });

  it("shows only profile pictures that come with the message", () => {
    expect(safePicture("data:image/png;base64,AAAA")).toBe("data:image/png;base64,AAAA");
    for (const bad of [
      null,
      "",
      "https://example.invalid/a.png",
      "data:image/svg+xml;base64,AAAA",
      "data:text/html;base64,AAAA",
      "javascript:alert(1)",
      'data:image/png;base64,AAAA" onerror="x',
    ]) {
      expect(safePicture(bad), String(bad)).toBeNull();
    }
  });

  it("finds the letter for a person", () => {
    expect(initial("  élodie")).toBe("É");
    expect(initial("<3 Kim")).toBe("3");
    expect(initial("\u202E")).toBe("");
  });
});

describe("text that nobody can see", () => {
  it("is what the signaling server takes for it", () => {
    for (const name of names.invisible) expect(canBeSeen(name), JSON.stringify(name)).toBe(false);
    for (const name of names.visible) expect(canBeSeen(name), name).toBe(true);
  });
});
