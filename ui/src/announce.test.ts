import { describe, expect, it } from "vitest";

import { announcement } from "./announce";
import { words } from "./locale";
import { makeCall, makeState, STATES } from "./testing/states";

const t = words.announce;
const inCall = (change = {}) => makeState({ screen: makeCall(change) });

describe("announcements", () => {
  it("say where the user is now", () => {
    expect(announcement(STATES.lobby, STATES.waiting ?? makeState())).toBe(t.waiting);
    expect(announcement(STATES.connecting, inCall())).toBe(t.inCall);
    expect(announcement(undefined, makeState()), "nobody went anywhere").toBeUndefined();
  });

  it.each([
    ["muted", t.muted, t.unmuted],
    ["cameraOn", t.cameraOn, t.cameraOff],
    ["partnerMuted", t.partnerMuted, t.partnerUnmuted],
    ["partnerCameraOff", t.partnerCameraOff, t.partnerCameraOn],
    ["partnerReconnecting", t.reconnecting, t.reconnected],
  ])("tell of %s, on and off", (field, on, off) => {
    expect(announcement(inCall({ [field]: false }), inCall({ [field]: true }))).toBe(on);
    expect(announcement(inCall({ [field]: true }), inCall({ [field]: false }))).toBe(off);
    expect(announcement(inCall({ [field]: true }), inCall({ [field]: true }))).toBeUndefined();
  });

  it("do not chatter about the quality", () => {
    expect(announcement(inCall({ quality: 3 }), inCall({ quality: 2 }))).toBeUndefined();
  });
});
