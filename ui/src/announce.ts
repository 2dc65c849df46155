// What a screen reader says when something changes that the user may not be looking at.

import type { AppState, InCall, Screen } from "./generated/contract";
import { words } from "./locale";
import { withName } from "./person";

const t = words.announce;

/** What is different between two states, as a sentence; `undefined` if it is not worth saying. */
export function announcement(before: AppState | undefined, after: AppState): string | undefined {
  if (!before) return undefined;
  const [was, is] = [before.screen, after.screen];
  if (was.kind !== is.kind) return newScreen(is);

  if (was.kind === "inCall" && is.kind === "inCall") {
    const changes = callChanges(was, is);
    if (changes.length > 0) return changes.join(". ");
  }

  const [wasHosting, isHosting] = [before.host.status === "on", after.host.status === "on"];
  if (wasHosting !== isHosting) return isHosting ? t.hosting : t.notHosting;
  return undefined;
}

function newScreen(screen: Screen): string | undefined {
  switch (screen.kind) {
    case "connecting":
    case "inCall":
      return withName(t[screen.kind], screen.partner);
    case "ended":
      // The heading takes the focus, and the reason follows it.
      return undefined;
    default:
      return t[screen.kind];
  }
}

function isReconnecting(call: InCall): boolean {
  return call.reconnectingUntilMs !== null;
}

function callChanges(was: InCall, is: InCall): string[] {
  const { back, lost } = words.server;
  // “Your call isn't affected” would contradict a lost connection to the partner.
  const serverLost = isReconnecting(is) ? lost : words.call.serverLost;
  const switches: [boolean, boolean, on: string, off: string][] = [
    [isReconnecting(was), isReconnecting(is), t.reconnecting, t.reconnected],
    [was.muted, is.muted, t.muted, t.unmuted],
    [was.cameraOn, is.cameraOn, t.cameraOn, t.cameraOff],
    [was.partnerMuted, is.partnerMuted, t.partnerMuted, t.partnerUnmuted],
    [was.partnerCameraOff, is.partnerCameraOff, t.partnerCameraOff, t.partnerCameraOn],
    [was.partnerRefusesAudio, is.partnerRefusesAudio, t.partnerRefusesAudio, t.partnerWantsAudio],
    [was.partnerRefusesVideo, is.partnerRefusesVideo, t.partnerRefusesVideo, t.partnerWantsVideo],
    [was.serverLost, is.serverLost, serverLost, back],
  ];

  const changed = switches
    .filter(([old, now]) => old !== now)
    .map(([, now, on, off]) => withName(now ? on : off, is.partner));
  const { badge } = is.verification;
  if (badge !== was.verification.badge) changed.push(words.call.verification.badge[badge]);
  return changed;
}
