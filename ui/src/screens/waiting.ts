// Looking for a partner.

import { h, type ElementNode } from "../dom/node";
import type { Screen } from "../generated/contract";
import { words } from "../locale";
import type { ViewContext } from "../page-state";
import { button } from "../parts/button";
import { centred, heading } from "../parts/frame";
import { mark } from "../parts/icons";
import { plain } from "../text";
import { clock } from "../time";

const t = words.waiting;

export function waiting(screen: Extract<Screen, { kind: "waiting" }>, context: ViewContext): ElementNode {
  const { room, startedAtMs } = screen;
  return centred(
    "waiting",
    context,
    h("div", { class: "pulse" }, mark()),
    heading(room === null ? t.title : t.titleRoom),
    h("p", { class: "hint" }, room === null ? t.hint : t.hintRoom),
    room !== null && h("p", { class: "room", "aria-label": t.code, key: "room" }, h("bdi", {}, plain(room))),
    h(
      "p",
      { class: "elapsed", key: "elapsed" },
      `${t.elapsed} `,
      h("time", { id: "waiting-time", role: "timer" }, clock(context.page.nowMs - startedAtMs)),
    ),
    button({
      action: "cancel",
      icon: "close",
      label: t.cancel,
      onClick: () => void context.act.send("cancel", undefined),
    }),
  );
}
