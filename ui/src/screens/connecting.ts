// A partner is found; the connection is being made.

import { h, type ElementNode } from "../dom/node";
import type { ConnectingStep, Screen } from "../generated/contract";
import { words } from "../locale";
import type { ViewContext } from "../page-state";
import { about, avatar, nameOf } from "../parts/avatar";
import { button } from "../parts/button";
import { centred, heading } from "../parts/frame";
import { icon } from "../parts/icons";
import { foreign } from "../text";
import { clock } from "../time";

const t = words.connecting;
const STEPS: ConnectingStep[] = ["exchanging", "checking"];

export function connecting(screen: Extract<Screen, { kind: "connecting" }>, context: ViewContext): ElementNode {
  const { partner, step, startedAtMs, timedOut } = screen;
  const { act, page } = context;
  return centred(
    "connecting",
    context,
    h("div", { class: "pulse" }, avatar(partner)),
    heading(`${t.titleWith} `, foreign(nameOf(partner))),
    about(partner),
    h(
      "ol",
      { class: "steps", key: "steps" },
      STEPS.map((each, index) => {
        const at = STEPS.indexOf(step);
        const status = index < at ? "done" : index === at ? "now" : "later";
        return h(
          "li",
          { class: `step ${status}`, "aria-current": status === "now" ? "step" : null },
          h("span", { class: "step-mark" }, status === "done" && icon("check")),
          h("span", {}, t.steps[each]),
        );
      }),
    ),
    timedOut &&
      h(
        "div",
        { class: "notice", role: "alert", key: "timed-out" },
        h("p", {}, h("strong", {}, t.timedOut)),
        h("p", {}, t.timedOutTodo),
      ),
    h(
      "div",
      { class: "buttons", key: "buttons" },
      timedOut &&
        button({
          key: "retry",
          action: "retry",
          icon: "refresh",
          label: t.retry,
          kind: "primary",
          onClick: () => void act.send("retry", undefined),
        }),
      button({
        key: "cancel",
        action: "cancel",
        icon: "close",
        label: t.cancel,
        onClick: () => void act.send("cancel", undefined),
      }),
    ),
    h(
      "p",
      { class: "elapsed small", key: "elapsed" },
      `${t.elapsed} `,
      h("time", { id: "connecting-time", role: "timer" }, clock(page.nowMs - startedAtMs)),
    ),
  );
}
