// The call, or the search, is over.

import { h, type ElementNode } from "../dom/node";
import type { Screen } from "../generated/contract";
import { words, wordsFor } from "../locale";
import type { ViewContext } from "../page-state";
import { button } from "../parts/button";
import { centred, heading } from "../parts/frame";
import { icon, mark } from "../parts/icons";
import { plain } from "../text";
import { clock } from "../time";

const t = words.ended;

/** Ends that somebody wanted: no code to look up, nothing to worry about. */
const ORDERLY = new Set(["HUNG_UP", "CANCELLED", "PARTNER_LEFT"]);

export function ended(screen: Extract<Screen, { kind: "ended" }>, context: ViewContext): ElementNode {
  const { reason, durationMs, room } = screen;
  const { act } = context;
  const { what, todo } = wordsFor(reason);
  const orderly = ORDERLY.has(reason);
  return centred(
    "ended",
    context,
    h("div", { class: `end-mark${orderly ? "" : " fault"}` }, orderly ? mark() : icon("warning")),
    heading(durationMs === null ? t.title.search : t.title.call),
    h("p", { id: "end-reason", class: "end-reason", "data-reason": reason }, what),
    h("p", { class: "hint", key: "todo" }, todo),
    durationMs !== null &&
      h(
        "p",
        { class: "elapsed", key: "duration" },
        `${t.duration} `,
        h("time", { id: "call-duration" }, clock(durationMs)),
      ),
    h(
      "div",
      { class: "buttons", key: "buttons" },
      button({
        action: "search-again",
        icon: "search",
        label: room === null ? t.again : t.againRoom,
        kind: "primary",
        onClick: () => void act.send("next", undefined),
      }),
      button({
        action: "to-lobby",
        icon: "home",
        label: t.lobby,
        onClick: () => void act.send("to_lobby", undefined),
      }),
    ),
    !orderly && h("p", { class: "problem-code", key: "code" }, plain(reason, 60)),
  );
}
