// The shortcuts: M mutes, V switches the camera; in a call, and on the screens before one.

import type { Send } from "./backend";
import type { AppState, Screen } from "./generated/contract";

const FIELDS = "input, select, textarea, [contenteditable]";

/** Where the user sees whether the microphone and the camera are on. */
const DEVICE_SCREENS = new Set<Screen["kind"]>(["lobby", "waiting", "inCall"]);

/** Carries out a shortcut. Returns whether the key is one on this screen. */
export function shortcut(event: KeyboardEvent, state: AppState, send: Send): boolean {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.defaultPrevented) return false;
  if (event.target instanceof Element && event.target.closest(FIELDS)) return false;

  const { screen, settings } = state;
  const { muted, cameraOn } =
    screen.kind === "inCall" ? screen : { muted: settings.muted, cameraOn: settings.cameraEnabled };
  switch (event.key.toLowerCase()) {
    case "m":
      if (!DEVICE_SCREENS.has(screen.kind)) return false;
      void send({ type: "setMuted", muted: !muted });
      return true;
    case "v":
      if (!DEVICE_SCREENS.has(screen.kind)) return false;
      void send({ type: "setCameraOn", on: !cameraOn });
      return true;
    default:
      return false;
  }
}
