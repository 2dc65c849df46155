import { describe, expect, it } from "vitest";

import { announcement } from "./announce";
import { words } from "./locale";
import { makeCall, makeState, STATES } from "./testing/states";

const t = words.announce;
const inCall = (change = {}) => makeState({ screen: makeCall(change) });
const named = (template: string) => template.replace("{name}", "Amara");

describe("announcements", () => {
  it("say where the user is now", () => {
    expect(announcement(STATES.lobby, STATES.waiting ?? makeState())).toBe(t.waiting);
    expect(announcement(STATES.waiting, STATES.connecting ?? makeState())).toBe(
      "Connecting to Amara",
    );
    expect(announcement(STATES.connecting, inCall())).toBe("You're in a call with Amara");
    expect(announcement(undefined, makeState()), "nothing at the start").toBeUndefined();
  });

  it.each([
    ["muted", t.muted, t.unmuted],
    ["cameraOn", t.cameraOn, t.cameraOff],
    ["partnerMuted", t.partnerMuted, t.partnerUnmuted],
    ["partnerCameraOff", t.partnerCameraOff, t.partnerCameraOn],
    ["partnerRefusesAudio", t.partnerRefusesAudio, t.partnerWantsAudio],
    ["partnerRefusesVideo", t.partnerRefusesVideo, t.partnerWantsVideo],
    ["serverLost", words.call.serverLost, words.server.back],
  ])("say when %s turns on and off", (field, on, off) => {
    const without = inCall({ [field]: false });
    const withIt = inCall({ [field]: true });
    expect(announcement(without, withIt)).toBe(named(on));
    expect(announcement(withIt, without)).toBe(named(off));
    expect(announcement(withIt, inCall({ [field]: true }))).toBeUndefined();
  });

  it("say when the call reconnects and is back, and not when its end moves", () => {
    const [soon, later] = [inCall({ reconnectingUntilMs: 1 }), inCall({ reconnectingUntilMs: 2 })];
    expect(announcement(inCall(), soon)).toBe(named(t.reconnecting));
    expect(announcement(later, soon)).toBeUndefined();
    expect(announcement(later, inCall())).toBe(named(t.reconnected));
  });

  it("have words for a partner without a name", () => {
    const partner = { name: null, age: null, location: null, picture: null };
    const muted = inCall({ partner, partnerMuted: true });
    expect(announcement(inCall({ partner }), muted)).toBe("The other person is muted");
    expect(announcement(STATES.connecting, inCall({ partner }))).toBe(
      "You're in a call with the other person",
    );
  });

  it("don't say that the call isn't affected while it is", () => {
    const lost = inCall({ serverLost: true, reconnectingUntilMs: 30_000 });
    expect(announcement(inCall({ reconnectingUntilMs: 30_000 }), lost)).toBe(words.server.lost);
  });

  it("say nothing about changes of quality", () => {
    expect(announcement(inCall({ quality: 3 }), inCall({ quality: 2 }))).toBeUndefined();
  });
});
