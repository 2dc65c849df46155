import { describe, expect, it } from "vitest";

import { makeCall, makeState, STATES } from "../testing/states";
import { sources } from "./streams";

const inCall = (change = {}) =>
  sources(makeState({ screen: makeCall(change), preview: { status: "off" } }));

describe("the sources of the streams", () => {
  it("are the local camera in the lobby, while it delivers frames", () => {
    expect(sources(makeState()).local).not.toBeNull();
    for (const status of ["off", "starting", "failed"] as const) {
      expect(sources(makeState({ preview: { status } })).local).toBeNull();
    }
    expect(sources(makeState()).remote).toBeNull();
  });

  it("are none while connecting and after a call", () => {
    for (const name of ["connecting", "ended"]) {
      expect(sources(STATES[name] ?? makeState())).toEqual({ local: null, remote: null });
    }
  });

  it("are the local camera while waiting, unless it is off", () => {
    const waiting = STATES.waiting ?? makeState();
    expect(sources(waiting)).toEqual({ local: "waiting", remote: null });
    const settings = { ...waiting.settings, strangerCamera: false };
    expect(sources({ ...waiting, settings }).local).toBeNull();
  });

  it("are both ends in a call, as far as their cameras are on", () => {
    expect(Object.values(inCall())).not.toContain(null);
    expect(inCall({ cameraOn: false }).local).toBeNull();
    expect(inCall({ sendsVideo: false }).local).toBeNull();
    expect(inCall({ partnerCameraOff: true }).remote).toBeNull();
  });

  it("differ between calls, and stay the same within one", () => {
    expect(inCall({ quality: 1, muted: true })).toEqual(inCall());
    expect(inCall({ connectedAtMs: 5 }).remote).not.toBe(inCall().remote);
    expect(
      inCall({ partner: { name: "Other", age: null, location: null, picture: null } }).remote,
    ).not.toBe(inCall().remote);
  });
});
