// Whether the microphone and the camera are on, where the user can switch them.

import type { AppState } from "./generated/contract";

export interface Toggles {
  muted: boolean;
  cameraOn: boolean;
}

/** Those of the call, or those with which the next one begins. Strangers have their own. */
export function togglesOf({ screen, settings }: Pick<AppState, "screen" | "settings">): Toggles {
  if (screen.kind === "inCall") return screen;
  if (screen.kind === "waiting" && screen.search.kind === "anyone") {
    return { muted: settings.strangerMuted, cameraOn: settings.strangerCamera };
  }
  return { muted: settings.muted, cameraOn: settings.cameraEnabled };
}
