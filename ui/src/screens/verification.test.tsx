import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { announcement } from "../announce";
import type { BadgeKind, Command, Mismatch, Verification } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { makeCall, makeState, makeView, SAFETY_WORDS, STATES } from "../testing/states";
import { Page } from ".";

const t = words.call.verification;
const BADGES: BadgeKind[] = ["notVerified", "verifiedByCode", "verifiedByUser"];

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
});

const verification = (change: Partial<Verification> = {}): Verification => ({
  badge: "notVerified",
  words: { status: "ready", words: SAFETY_WORDS },
  byInvite: null,
  ...change,
});

async function show(
  change: Partial<Verification> = {},
  encrypted = true,
  known = true,
): Promise<View> {
  const screen = makeCall({ verification: verification(change), encrypted, known });
  const view = makeView(makeState({ screen }));
  await act(() => {
    render(<Page {...view} />, root);
  });
  return view;
}

const find = <E extends HTMLElement = HTMLElement>(selector: string): E => {
  const found = root.querySelector<E>(selector);
  if (!found) throw new Error(`${selector} is not there: ${root.innerHTML.slice(0, 2000)}`);
  return found;
};
const has = (selector: string) => root.querySelector(selector) !== null;
const press = (name: string) =>
  act(() => {
    find(`[data-action="${name}"]`).click();
  });
const dialog = () => find<HTMLDialogElement>("#verification");
const sent = (view: View) =>
  (view.act.send as unknown as { mock: { calls: Command[][] } }).mock.calls.flat();

describe("the badge of a call", () => {
  it.each(BADGES)("%s is said in words, on the badge and in the details", async (badge) => {
    await show({ badge });
    const shown = find("[data-badge=verification]");
    expect(shown.textContent).toBe(t.badge[badge]);
    expect(shown.getAttribute("aria-label")).toBe(`${t.badge[badge]}: ${t.open}`);
    expect(find("[data-badge=encrypted]").textContent).toBe(t.badge[badge]);
  });

  it("claims nothing before the call is encrypted", async () => {
    await show({ badge: "verifiedByCode" }, false);
    expect(has("[data-badge=verification], [data-badge=encrypted]")).toBe(false);
  });

  it("is told to those who don't see it", () => {
    const at = (badge: BadgeKind) =>
      makeState({ screen: makeCall({ verification: verification({ badge }) }) });
    for (const badge of BADGES.slice(1)) {
      expect(announcement(at("notVerified"), at(badge))).toBe(t.badge[badge]);
    }
    expect(announcement(at("notVerified"), at("notVerified"))).toBeUndefined();
  });
});

describe("the safety words", () => {
  it.each(["verification", "verify"])("open with the button %s, in their order", async (button) => {
    await show();
    expect(dialog().open).toBe(false);
    await press(button);
    expect(dialog().open).toBe(true);
    const shown = Array.from(root.querySelectorAll(".safety-words li"), (li) => li.textContent);
    expect(shown).toEqual(SAFETY_WORDS);
    await press("close-verification");
    expect(dialog().open).toBe(false);
  });

  it("are compared as they were shown", async () => {
    const view = await show();
    await press("verification");
    await press("words-match");
    await press("words-differ");
    expect(sent(view)).toEqual([
      { type: "wordsCompared", words: SAFETY_WORDS, equal: true },
      { type: "wordsCompared", words: SAFETY_WORDS, equal: false },
    ]);
  });

  it("can still turn out to differ after they were taken for equal", async () => {
    await show({ badge: "verifiedByUser" });
    await press("verification");
    expect(has("[data-action=words-match]")).toBe(false);
    expect(has("[data-action=words-differ]")).toBe(true);
  });

  it("prove as much as the people know of each other, and no more is said", async () => {
    await show({ badge: "verifiedByUser" }, true, true);
    await press("verification");
    expect(dialog().textContent).toContain(t.explanation.verifiedByUser);
    for (const condition of ["face or voice", "another way"]) {
      expect(t.explanation.verifiedByUser).toContain(condition);
    }

    // Nobody knows the face and voice of a stranger.
    await show({ badge: "verifiedByUser" }, true, false);
    const shown = dialog().textContent;
    expect(shown).toContain(t.verifiedStranger);
    expect(shown).not.toContain("no one in between can listen in");
    expect(shown).toContain("someone you don't know");

    // What else the badge says does not depend on that.
    await show({ badge: "notVerified" }, true, false);
    expect(dialog().textContent).toContain(t.explanation.notVerified);
    expect(dialog().textContent).toContain(t.voiceStranger);
    expect(dialog().textContent).not.toContain(t.voice);
  });

  it("come with what they depend on", async () => {
    await show();
    await press("verification");
    expect(dialog().textContent).toContain(t.voice);
    expect(dialog().textContent).toContain(t.explanation.notVerified);
  });

  it("are not there where the other side has none, and the dialog says so", async () => {
    await show({ words: { status: "unavailable" } });
    await press("verification");
    expect(has(".safety-words")).toBe(false);
    expect(has("[data-action=words-match]")).toBe(false);
    expect(dialog().textContent).toContain(t.unavailable);
  });

  it("are awaited before they are missing, and appear in the open dialog", async () => {
    await show({ words: { status: "awaited" } });
    await press("verification");
    expect(has(".safety-words")).toBe(false);
    expect(dialog().textContent).toContain(t.awaited);
    expect(dialog().textContent).not.toContain(t.unavailable);
    await show();
    expect(has(".safety-words")).toBe(true);
    expect(dialog().textContent).not.toContain(t.awaited);
  });

  it("stay open while the badge changes", async () => {
    await show();
    await press("verification");
    await show({ badge: "verifiedByUser" });
    expect(dialog().open).toBe(true);
    expect(find("#verification [role=status]").textContent).toBe(t.badge.verifiedByUser);
  });
});

describe("a call by invite", () => {
  const words = { status: "byCode" } as const;

  it("tells only the inviter what a website can read", async () => {
    await show({ badge: "verifiedByCode", words, byInvite: "inviter" });
    await press("verification");
    expect(dialog().textContent).toContain(t.browser);
    await show({ badge: "verifiedByCode", words, byInvite: "guest" });
    expect(dialog().textContent).not.toContain(t.browser);
  });

  it.each(["notVerified", "verifiedByCode"] as const)(
    "has nothing to compare, and nothing is missing: %s",
    async (badge) => {
      await show({ badge, words, byInvite: "guest" });
      await press("verification");
      expect(has(".safety-words")).toBe(false);
      for (const text of [t.awaited, t.unavailable]) {
        expect(dialog().textContent).not.toContain(text);
      }
    },
  );
});

describe("the last screen after a mismatch", () => {
  const end = async (name: string): Promise<View> => {
    const view = makeView(STATES[name] ?? makeState());
    await act(() => {
      render(<Page {...view} />, root);
    });
    return view;
  };

  it.each([
    ["ended-mismatch-words", "safetyWords"],
    ["ended-mismatch-partners-words", "partnersSafetyWords"],
    ["ended-mismatch-invite", "invite"],
    ["ended-mismatch-invite-spent", "spentInvite"],
    ["ended-mismatch-code", "code"],
    ["ended-mismatch-code-spent", "spentCode"],
  ] as [string, Mismatch][])("%s says what happened and what to do", async (name, mismatch) => {
    await end(name);
    const { what, todo } = words.ended.mismatch[mismatch];
    expect(find("#end-reason").textContent).toBe(what);
    expect(find("main").textContent).toContain(todo);
    expect(find(".problem-code").textContent, "for a bug report").toBe("CODE_MISMATCH");
  });

  it("offers a new invite where the last one is used up, and only there", async () => {
    const view = await end("ended-mismatch-invite-spent");
    await press("invite");
    expect(sent(view)).toEqual([{ type: "invite" }]);
    await end("ended-mismatch-invite");
    expect(has("[data-action=invite]")).toBe(false);
  });

  it("offers no second attempt with a code that did not match", async () => {
    for (const name of ["ended-mismatch-code", "ended-mismatch-code-spent"]) {
      await end(name);
      expect(has("[data-action=search-again]")).toBe(false);
    }
  });
});
