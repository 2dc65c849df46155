// What a screen reader is told when something changes that the user may not be looking at.

import type { AppState } from "./generated/contract";
import { words } from "./locale";

const t = words.announce;

/** One sentence for what is different now; nothing when no one has to be told. */
export function announcement(before: AppState | undefined, after: AppState): string | undefined {
  if (!before) return undefined;
  const [was, is] = [before.screen, after.screen];
  if (was.kind !== is.kind) {
    if (is.kind === "ended") return undefined; // The heading gets the focus, and the reason follows it.
    return t[is.kind];
  }
  if (was.kind === "inCall" && is.kind === "inCall") {
    const told: [boolean, boolean, string, string][] = [
      [was.partnerReconnecting, is.partnerReconnecting, t.reconnecting, t.reconnected],
      [was.muted, is.muted, t.muted, t.unmuted],
      [was.cameraOn, is.cameraOn, t.cameraOn, t.cameraOff],
      [was.partnerMuted, is.partnerMuted, t.partnerMuted, t.partnerUnmuted],
      [was.partnerCameraOff, is.partnerCameraOff, t.partnerCameraOff, t.partnerCameraOn],
      [was.relayLost, is.relayLost, words.call.relayLost, words.relay.connected],
    ];
    const changed = told.filter(([old, now]) => old !== now).map(([, now, yes, no]) => (now ? yes : no));
    if (changed.length > 0) return changed.join(". ");
  }
  const [hosted, hosts] = [before.host.status === "on", after.host.status === "on"];
  if (hosted !== hosts) return hosts ? t.hosting : t.noLongerHosting;
  return undefined;
}
