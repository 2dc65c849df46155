// Carries out keyboard shortcuts: mute and camera in a call and before one, the settings
// everywhere, hanging up in a call.

import type { AppState, Screen } from "./generated/contract";
import { KEYS, type Shortcut, shortcutOf } from "./keys";
import type { Actions } from "./page-state";
import { togglesOf } from "./toggles";

/** What takes letters: text fields, and menus, which search with them. */
const TAKES_LETTERS =
  "input:not([type=checkbox]), select, textarea, [contenteditable]:not([contenteditable=false])";

/** Where the user sees whether the microphone and the camera are on. */
const DEVICE_SCREENS = new Set<Screen["kind"]>(["lobby", "waiting", "inCall"]);

type Does = Pick<Actions, "send" | "openSettings">;

/** Carries out a shortcut. Returns whether the key is one on this screen. */
export function shortcut(event: KeyboardEvent, state: AppState, act: Does): boolean {
  if (event.repeat || event.defaultPrevented) return false;
  const name = shortcutOf(event);
  if (!name) return false;
  if (isLetter(name)) {
    if (!state.settings.singleKeyShortcuts) return false;
    if (event.target instanceof Element && event.target.closest(TAKES_LETTERS)) return false;
  }
  return carryOut(name, state, act);
}

/** A key that people also type. */
function isLetter(name: Shortcut): boolean {
  const { key, mod = false } = KEYS[name];
  return !mod && key.length === 1;
}

function carryOut(name: Shortcut, state: AppState, act: Does): boolean {
  const { screen } = state;
  const inCall = screen.kind === "inCall";
  const { muted, cameraOn } = togglesOf(state);

  switch (name) {
    case "mute":
      if (!DEVICE_SCREENS.has(screen.kind)) return false;
      void act.send({ type: "setMuted", muted: !muted });
      return true;
    case "camera":
      if (!DEVICE_SCREENS.has(screen.kind)) return false;
      void act.send({ type: "setCameraOn", on: !cameraOn });
      return true;
    case "fullScreen":
      void act.send({ type: "toggleFullScreen" });
      return true;
    case "settings":
      act.openSettings();
      return true;
    case "hangUp":
      if (!inCall) return false;
      void act.send({ type: "hangUp" });
      return true;
  }
}
