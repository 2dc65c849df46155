// The page for a state: one screen, and the settings dialog over it.

import { h, type ElementNode } from "../dom/node";
import { words } from "../locale";
import type { PageState, ViewContext } from "../page-state";
import { mark } from "../parts/icons";
import { settings } from "../parts/settings";
import { wordsFor } from "../locale";
import { connecting } from "./connecting";
import { ended } from "./ended";
import { inCall } from "./in-call";
import { lobby } from "./lobby";
import { waiting } from "./waiting";

export function view(context: ViewContext): ElementNode[] {
  const unreachable = context.page.reachable ? [] : [h("div", { key: "lost", class: "app-lost" }, lost())];
  return [screen(context), settings(context), ...unreachable];
}

function screen(context: ViewContext): ElementNode {
  const { screen } = context.state;
  switch (screen.kind) {
    case "lobby":
      return lobby(context);
    case "waiting":
      return waiting(screen, context);
    case "connecting":
      return connecting(screen, context);
    case "inCall":
      return inCall(screen, context);
    case "ended":
      return ended(screen, context);
  }
}

/** Before the app has said anything, and while it does not answer. */
export function viewWithoutState({ reachable }: Pick<PageState, "reachable">): ElementNode[] {
  return [
    h(
      "main",
      { key: "loading", "data-screen": "loading", class: "screen calm" },
      h(
        "div",
        { class: "centre" },
        h("div", { class: "card" }, mark(), reachable ? h("p", {}, words.loading) : lost()),
      ),
    ),
  ];
}

function lost(): ElementNode {
  const { what, todo } = wordsFor("APP_UNREACHABLE");
  return h(
    "div",
    { class: "problem", role: "alert", "data-problem": "APP_UNREACHABLE" },
    h(
      "div",
      { class: "problem-words" },
      h("p", { class: "problem-what" }, what),
      h("p", { class: "problem-todo" }, todo),
    ),
  );
}
