// The keys of a call: M for the microphone, V for the camera.

import type { Send } from "./backend";
import type { AppState } from "./generated/contract";

const FIELDS = "input, select, textarea, [contenteditable]";

/** Does what the key stands for; gives whether it stands for anything here. */
export function shortcut(event: KeyboardEvent, state: AppState, send: Send): boolean {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
  if (event.target instanceof Element && event.target.closest(FIELDS)) return false;
  const { screen, settings } = state;
  switch (event.key.toLowerCase()) {
    case "m":
      if (screen.kind !== "inCall") return false;
      void send("set_muted", { muted: !screen.muted });
      return true;
    case "v":
      if (screen.kind === "inCall") void send("set_camera_on", { on: !screen.cameraOn });
      else if (screen.kind === "lobby") void send("set_camera_on", { on: !settings.cameraEnabled });
      else return false;
      return true;
    default:
      return false;
  }
}
