// What is wrong, each in its place: in words, with one thing to do, and its code.

import { h, type ElementNode } from "../dom/node";
import type { Place } from "../generated/contract";
import { words, wordsFor } from "../locale";
import type { ViewContext } from "../page-state";
import { plain } from "../text";
import { button } from "./button";
import { icon } from "./icons";

/** Parts of a screen where problems can stand. `top` takes what has no part of its own on this screen. */
export type Slot = "top" | "camera" | "microphone" | "speaker" | "host" | "room" | "dialog";

/** Where a problem stands now, so that each is shown exactly once. */
export function slotOf(place: Place, { state, page }: Pick<ViewContext, "state" | "page">): Slot {
  const lobby = state.screen.kind === "lobby";
  const device = place === "camera" || place === "microphone" || place === "speaker";
  if (page.settingsOpen) {
    if (place === "relay" || place === "settings") return "dialog";
    // The device menus are in the dialog unless the lobby shows them.
    if (device && !lobby) return place;
  }
  if (lobby && (device || place === "host" || place === "room")) return place;
  return "top";
}

/** The problems of one part of the screen. */
export function problems(slot: Slot, context: ViewContext): ElementNode | null {
  const { state, page, act } = context;
  const cards = state.problems
    .filter((problem) => slotOf(problem.place, context) === slot)
    .map(({ id, code, detail }) => card(`problem-${id}`, code, detail, () => void act.send("dismiss_problem", { id })));
  const { refusal } = page;
  if (refusal && slotOf(refusal.place, context) === slot) {
    cards.push(
      card(`refusal-${refusal.code}`, refusal.code, refusal.detail, () => {
        act.dismissRefusal();
      }),
    );
  }
  return cards.length === 0 ? null : h("div", { class: "problems", key: `problems-${slot}` }, cards);
}

function card(key: string, code: string, detail: string | null, dismiss: () => void): ElementNode {
  const { what, todo } = wordsFor(code);
  return h(
    "div",
    { key, class: "problem", role: "alert", "data-problem": code },
    icon("warning"),
    h(
      "div",
      { class: "problem-words" },
      h("p", { class: "problem-what" }, what),
      h("p", { class: "problem-todo" }, todo),
      h("p", { class: "problem-code", title: detail === null ? null : plain(detail, 300) }, plain(code, 60)),
    ),
    button({
      action: "dismiss",
      icon: "close",
      label: words.problem.dismiss,
      iconOnly: true,
      kind: "quiet",
      onClick: dismiss,
    }),
  );
}
