// Before a call: how the user looks and sounds, and the ways to meet somebody.

import { h, type Child, type ElementNode } from "../dom/node";
import { words } from "../locale";
import type { ViewContext } from "../page-state";
import { button } from "../parts/button";
import { devices } from "../parts/devices";
import { bar, heading } from "../parts/frame";
import { icon, mark } from "../parts/icons";
import { problems } from "../parts/problems";

const t = words.lobby;

export function lobby(context: ViewContext): ElementNode {
  return h(
    "main",
    { key: "lobby", "data-screen": "lobby", class: "screen lobby" },
    bar(context),
    h(
      "div",
      { class: "lobby-grid", key: "grid" },
      preview(context),
      h(
        "section",
        { class: "meet", "aria-labelledby": "heading" },
        h("div", { class: "greeting" }, heading(t.title), h("p", { class: "hint" }, t.subtitle)),
        problems("top", context),
        nameField(context),
        findPartner(context),
        withCode(context),
        host(context),
      ),
      devices(context, { level: true }),
    ),
  );
}

function preview({ state, act }: ViewContext): ElementNode {
  const { status } = state.preview;
  const on = state.settings.cameraEnabled;
  const note = { off: t.previewOff, starting: t.previewStarting, on: null, failed: t.previewFailed }[status];
  return h(
    "section",
    { class: "preview", "aria-label": t.preview, "data-preview": status },
    h("canvas", { id: "local", class: "mirrored", role: "img", "aria-label": t.previewLabel, key: "local" }),
    note !== null &&
      h(
        "div",
        { class: "preview-note", key: "note" },
        status === "starting" ? mark() : icon("cameraOff"),
        h("p", {}, note),
      ),
    button({
      key: "camera",
      action: "camera",
      icon: on ? "camera" : "cameraOff",
      label: on ? words.call.cameraOffLabel : words.call.cameraOnLabel,
      iconOnly: true,
      kind: "control",
      off: !on,
      onClick: () => void act.send("set_camera_on", { on: !on }),
    }),
  );
}

function nameField({ state, page, act }: ViewContext): ElementNode {
  return h(
    "div",
    { class: "field" },
    h("label", { for: "name" }, t.name),
    h("input", {
      id: "name",
      type: "text",
      autocomplete: "nickname",
      spellcheck: "false",
      dir: "auto",
      placeholder: t.namePlaceholder,
      value: page.drafts.name ?? state.settings.name,
      on: {
        input: (event) => {
          act.draft({ name: (event.target as HTMLInputElement).value });
        },
        change: () => {
          act.commitName();
        },
      },
    }),
  );
}

function findPartner({ act }: ViewContext): ElementNode {
  return h(
    "div",
    { class: "find" },
    button({
      action: "find-partner",
      icon: "search",
      label: t.find,
      kind: "primary",
      onClick: () => {
        act.commitName();
        void act.send("find_partner", undefined);
      },
    }),
    h("p", { class: "hint" }, t.findHint),
  );
}

function withCode(context: ViewContext): ElementNode {
  const { page, act } = context;
  const call = (event: Event) => {
    event.preventDefault();
    act.commitName();
    void act.send("call_with_code", { code: page.drafts.code.trim() });
  };
  return h(
    "form",
    { class: "field with-code", novalidate: true, on: { submit: call } },
    h("label", { for: "room-code" }, t.call),
    h(
      "div",
      { class: "row" },
      h("input", {
        id: "room-code",
        type: "text",
        autocomplete: "off",
        autocapitalize: "off",
        spellcheck: "false",
        dir: "ltr",
        placeholder: t.codePlaceholder,
        "aria-describedby": "code-hint",
        value: page.drafts.code,
        on: {
          input: (event) => {
            act.draft({ code: (event.target as HTMLInputElement).value });
          },
        },
      }),
      button({ action: "call-with-code", icon: "key", label: t.callShort, describe: t.call, type: "submit" }),
    ),
    h("p", { id: "code-hint", class: "hint" }, t.codeHint),
    problems("room", context),
  );
}

function host(context: ViewContext): ElementNode {
  const { status, addresses } = context.state.host;
  const { act } = context;
  const on = status === "on";
  const start = button({
    key: "host",
    action: "host",
    icon: "network",
    label: status === "starting" ? words.host.starting : words.host.start,
    disabled: status === "starting",
    onClick: () => void act.send("start_host", { lan: true }),
  });
  const stop = button({
    key: "stop-host",
    action: "stop-host",
    label: words.host.stop,
    onClick: () => void act.send("stop_host", undefined),
  });
  const tell: Child =
    addresses.length === 0
      ? h("p", { class: "hint" }, words.host.noAddress)
      : [
          h("p", { class: "hint" }, words.host.tell),
          h(
            "ul",
            { class: "addresses" },
            addresses.map((address) => h("li", { key: address }, h("code", {}, address))),
          ),
        ];
  return h(
    "div",
    { class: `host${on ? " on" : ""}`, "data-host": status },
    on && h("p", { class: "host-title", key: "title" }, h("i", { class: "dot" }), words.host.on),
    on && h("div", { class: "host-tell", key: "tell" }, tell),
    on ? stop : start,
    !on && h("p", { class: "hint", key: "hint" }, words.host.hint),
    problems("host", context),
  );
}
