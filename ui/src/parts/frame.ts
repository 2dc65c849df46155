// What all quiet screens have in common: the bar at the top, and the problems that belong nowhere else.

import { h, type Child, type ElementNode } from "../dom/node";
import { words } from "../locale";
import type { ViewContext } from "../page-state";
import { button } from "./button";
import { mark } from "./icons";
import { problems } from "./problems";

export function bar(context: ViewContext): ElementNode {
  const { state, act } = context;
  const { status } = state.relay;
  return h(
    "header",
    { class: "bar", key: "bar" },
    h("div", { class: "brand" }, mark(), h("span", {}, words.appName)),
    h(
      "div",
      { class: "bar-end" },
      status !== "idle" &&
        h(
          "span",
          { class: `chip relay-${status}`, "data-relay": status },
          h("i", { class: "dot" }),
          words.relay[status],
        ),
      settingsButton(act.openSettings, "quiet"),
    ),
  );
}

export function settingsButton(open: () => void, kind: "quiet" | "control"): ElementNode {
  return button({
    action: "settings",
    icon: "settings",
    label: words.settings.open,
    iconOnly: true,
    kind,
    onClick: open,
  });
}

/** A screen with one thing in its middle. */
export function centred(name: string, context: ViewContext, ...children: Child[]): ElementNode {
  return h(
    "main",
    { key: name, "data-screen": name, class: "screen calm" },
    bar(context),
    h(
      "div",
      { class: "centre", key: "centre" },
      problems("top", context),
      h("div", { class: "card", key: "card" }, children),
    ),
  );
}

/** The heading that takes the focus when its screen appears. */
export function heading(...children: Child[]): ElementNode {
  return h("h1", { id: "heading", tabindex: -1, key: "heading" }, children);
}
