// The settings dialog: relay, appearance, sound; the devices too, unless the lobby shows them already.

import { h, type ElementNode } from "../dom/node";
import type { Theme } from "../generated/contract";
import { words } from "../locale";
import type { ViewContext } from "../page-state";
import { button } from "./button";
import { dropdown } from "./dropdown";
import { devices } from "./devices";
import { problems } from "./problems";

const THEMES: Theme[] = ["system", "light", "dark"];
const t = words.settings;

/** Stays in the document: `app.ts` opens and closes it, so that the browser keeps the focus inside. */
export function settings(context: ViewContext): ElementNode {
  const { state, page, act } = context;
  const close = () => {
    act.closeSettings();
  };
  return h(
    "dialog",
    { id: "settings", "aria-labelledby": "settings-title", on: { close } },
    page.settingsOpen && [
      h(
        "header",
        { class: "dialog-head" },
        h("h2", { id: "settings-title" }, t.title),
        button({
          action: "close-settings",
          icon: "close",
          label: t.close,
          iconOnly: true,
          kind: "quiet",
          onClick: close,
        }),
      ),
      h(
        "div",
        { class: "dialog-body" },
        problems("dialog", context),
        state.screen.kind !== "lobby" && group(words.devices.title, devices(context, { level: false })),
        group(t.connection, relayField(context)),
        group(t.appearance, themeField(context)),
        group(t.sound, ...processing(context)),
      ),
    ],
  );
}

function group(title: string, ...children: ElementNode[]): ElementNode {
  return h("section", { class: "group", key: title }, h("h3", {}, title), children);
}

function relayField({ state, page, act }: ViewContext): ElementNode {
  return h(
    "div",
    { class: "field" },
    h("label", { for: "relay-url" }, t.relayUrl),
    h("input", {
      id: "relay-url",
      type: "text",
      inputmode: "url",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      dir: "ltr",
      "aria-describedby": "relay-hint",
      value: page.drafts.relayUrl ?? state.settings.relayUrl,
      on: {
        input: (event) => {
          act.draft({ relayUrl: (event.target as HTMLInputElement).value });
        },
        change: () => {
          act.commitRelayUrl();
        },
      },
    }),
    h("p", { id: "relay-hint", class: "hint" }, state.host.status === "on" ? t.hosting : t.relayHint),
  );
}

function themeField({ state, act }: ViewContext): ElementNode {
  return h(
    "div",
    { class: "field" },
    h("label", { for: "theme" }, t.theme),
    dropdown(
      {
        id: "theme",
        value: state.settings.theme,
        on: {
          change: (event) => {
            void act.send("set_theme", { theme: (event.target as HTMLSelectElement).value as Theme });
          },
        },
      },
      THEMES.map((theme) => h("option", { value: theme }, t.themes[theme])),
    ),
  );
}

function processing({ state, act }: ViewContext): ElementNode[] {
  const { echoCancellation, noiseSuppression, autoGain } = state.settings;
  const now = { echoCancellation, noiseSuppression, autoGain };
  const choice = (name: keyof typeof now, label: string, hint: string) =>
    h(
      "label",
      { class: "switch-row" },
      h("span", { class: "switch-words" }, h("span", {}, label), h("span", { class: "hint" }, hint)),
      h("input", {
        id: name,
        type: "checkbox",
        class: "switch",
        role: "switch",
        checked: now[name],
        on: {
          change: (event) => {
            void act.send("set_processing", { ...now, [name]: (event.target as HTMLInputElement).checked });
          },
        },
      }),
    );
  return [
    choice("echoCancellation", t.echoCancellation, t.echoCancellationHint),
    choice("noiseSuppression", t.noiseSuppression, t.noiseSuppressionHint),
    choice("autoGain", t.autoGain, t.autoGainHint),
  ];
}
