// The shortcuts: M mutes in a call, V switches the camera in a call and on the home screen.

import type { Send } from "./backend";
import type { AppState } from "./generated/contract";

const FIELDS = "input, select, textarea, [contenteditable]";

/** Carries out a shortcut. Returns whether the key is one on this screen. */
export function shortcut(event: KeyboardEvent, state: AppState, send: Send): boolean {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.defaultPrevented) return false;
  if (event.target instanceof Element && event.target.closest(FIELDS)) return false;

  const { screen, settings } = state;
  switch (event.key.toLowerCase()) {
    case "m":
      if (screen.kind !== "inCall") return false;
      void send({ type: "setMuted", muted: !screen.muted });
      return true;
    case "v":
      if (screen.kind === "inCall") void send({ type: "setCameraOn", on: !screen.cameraOn });
      else if (screen.kind === "lobby")
        void send({ type: "setCameraOn", on: !settings.cameraEnabled });
      else return false;
      return true;
    default:
      return false;
  }
}
