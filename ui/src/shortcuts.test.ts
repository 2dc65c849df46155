import { describe, expect, it, vi } from "vitest";

import { shortcut } from "./shortcuts";
import { makeCall, makeState, STATES } from "./testing/states";

function press(key: string, state = makeState({ screen: makeCall() }), init: KeyboardEventInit = {}, on?: Element) {
  const send = vi.fn();
  const event = new KeyboardEvent("keydown", { key, bubbles: true, ...init });
  (on ?? document.body).dispatchEvent(event);
  const taken = shortcut(event, state, send);
  return { taken, calls: send.mock.calls };
}

describe("shortcuts", () => {
  it("M mutes and unmutes, V turns the camera off and on", () => {
    expect(press("m").calls).toEqual([["set_muted", { muted: true }]]);
    expect(press("M", makeState({ screen: makeCall({ muted: true }) })).calls).toEqual([
      ["set_muted", { muted: false }],
    ]);
    expect(press("v").calls).toEqual([["set_camera_on", { on: false }]]);
    expect(press("v", makeState()).calls, "in the lobby too").toEqual([["set_camera_on", { on: false }]]);
  });

  it("leave other screens, other keys and key combinations alone", () => {
    expect(press("m", STATES.waiting).taken).toBe(false);
    expect(press("m", makeState()).taken).toBe(false);
    expect(press("v", STATES.ended).taken).toBe(false);
    expect(press("n").taken).toBe(false);
    for (const held of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { repeat: true }]) {
      expect(press("m", undefined, held).taken).toBe(false);
    }
  });

  it("leave text fields alone", () => {
    const field = document.body.appendChild(document.createElement("input"));
    expect(press("m", undefined, {}, field).taken).toBe(false);
  });
});
