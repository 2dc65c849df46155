// The menus for camera, microphone and speaker; a choice takes effect at once, also in a call.

import { h, type ElementNode } from "../dom/node";
import type { Device } from "../generated/contract";
import { words } from "../locale";
import type { ViewContext } from "../page-state";
import { plain } from "../text";
import { button } from "./button";
import { dropdown } from "./dropdown";
import { icon, type IconName } from "./icons";
import { problems } from "./problems";

type Kind = "camera" | "microphone" | "speaker";

const LISTS = { camera: "cameras", microphone: "microphones", speaker: "speakers" } as const;
const COMMANDS = { camera: "set_camera", microphone: "set_microphone", speaker: "set_speaker" } as const;
const ICONS: Record<Kind, IconName> = { camera: "camera", microphone: "microphone", speaker: "speaker" };

/** What the menu calls "the system's default": the app says `null`. */
const DEFAULT = "";
const WITHOUT = "none";

export function devices(context: ViewContext, { level }: { level: boolean }): ElementNode {
  const { act } = context;
  return h(
    "section",
    { class: "devices", "aria-label": words.devices.title },
    menu("camera", context, refreshButton(context)),
    menu("microphone", context, null, level && meter()),
    menu(
      "speaker",
      context,
      button({
        action: "test-speaker",
        label: words.devices.test,
        describe: words.devices.testLabel,
        // In a call the partner is the test, and the app would refuse.
        disabled: context.state.settings.speaker === WITHOUT || context.state.screen.kind !== "lobby",
        onClick: () => void act.send("test_speaker", undefined),
      }),
    ),
  );
}

function refreshButton({ act }: ViewContext): ElementNode {
  return button({
    action: "refresh-devices",
    icon: "refresh",
    label: words.devices.refresh,
    iconOnly: true,
    onClick: () => void act.send("refresh_devices", undefined),
  });
}

function menu(
  kind: Kind,
  context: ViewContext,
  beside: ElementNode | null,
  below: ElementNode | false = false,
): ElementNode {
  const { state, act } = context;
  const chosen = state.settings[kind] ?? DEFAULT;
  const list = state.devices[LISTS[kind]];
  return h(
    "div",
    { class: "field device", key: kind },
    h("label", { for: kind }, icon(ICONS[kind]), h("span", {}, words.devices[kind])),
    h(
      "div",
      { class: "row" },
      dropdown(
        {
          id: kind,
          value: chosen,
          // A long name does not fit into a narrow menu.
          title: plain(list.find(({ id }) => id === chosen)?.name ?? "") || null,
          on: {
            change: (event) => {
              const { value } = event.target as HTMLSelectElement;
              void act.send(COMMANDS[kind], { id: value === DEFAULT ? null : value });
            },
          },
        },
        options(kind, list, chosen),
      ),
      beside,
    ),
    below,
    problems(kind, context),
  );
}

function options(kind: Kind, list: Device[], chosen: string): ElementNode[] {
  const option = (value: string, text: string) => h("option", { key: value, value }, text);
  const known = chosen === DEFAULT || chosen === WITHOUT || list.some(({ id }) => id === chosen);
  return [
    option(DEFAULT, words.devices.systemDefault),
    ...list.map(({ id, name }) => option(id, plain(name))),
    ...(known ? [] : [option(chosen, words.devices.missing)]),
    option(WITHOUT, words.devices.without[kind]),
  ];
}

/** Filled by `showLevel`, many times a second and past the views. */
function meter(): ElementNode {
  return h(
    "div",
    {
      id: "level",
      class: "level",
      role: "meter",
      "aria-label": words.devices.level,
      "aria-valuemin": 0,
      "aria-valuenow": 0,
      "aria-valuemax": 100,
    },
    h("div", { class: "level-fill" }),
  );
}

/** Shows how loud the microphone is, from 0 to 1. */
export function showLevel(level: number): void {
  const element = document.getElementById("level");
  const percent = Math.round(Math.min(1, Math.max(0, level)) * 100);
  const text = String(Number.isFinite(percent) ? percent : 0);
  if (!element || element.getAttribute("aria-valuenow") === text) return;
  element.setAttribute("aria-valuenow", text);
  element.querySelector<HTMLElement>(".level-fill")?.style.setProperty("--level", `${text}%`);
}
