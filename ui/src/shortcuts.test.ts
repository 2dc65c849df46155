import { describe, expect, it, vi } from "vitest";

import { shortcut } from "./shortcuts";
import { makeCall, makeState, STATES } from "./testing/states";

function press(
  key: string,
  state = makeState({ screen: makeCall() }),
  init: KeyboardEventInit = {},
  on?: Element,
) {
  const send = vi.fn();
  const event = new KeyboardEvent("keydown", { key, bubbles: true, ...init });
  (on ?? document.body).dispatchEvent(event);
  const taken = shortcut(event, state, send);
  return { taken, commands: send.mock.calls.flat() };
}

describe("shortcuts", () => {
  it("M mutes and unmutes, V turns the camera off and on", () => {
    const muted = makeState({ screen: makeCall({ muted: true }) });
    const cameraOff = { type: "setCameraOn", on: false };
    expect(press("m").commands).toEqual([{ type: "setMuted", muted: true }]);
    expect(press("M", muted).commands).toEqual([{ type: "setMuted", muted: false }]);
    expect(press("v").commands).toEqual([cameraOff]);

    for (const before of [makeState(), STATES.waiting]) {
      expect(press("v", before).commands, "before a call, too").toEqual([cameraOff]);
      expect(press("m", before).commands).toEqual([{ type: "setMuted", muted: true }]);
    }
  });

  it("ignore other screens, other keys and key combinations", () => {
    expect(press("m", STATES.connecting).taken).toBe(false);
    expect(press("v", STATES.ended).taken).toBe(false);
    expect(press("n").taken).toBe(false);
    const combinations = [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { repeat: true }];
    for (const held of combinations) expect(press("m", undefined, held).taken).toBe(false);
  });

  it("ignore what is typed into a text field", () => {
    const field = document.body.appendChild(document.createElement("input"));
    expect(press("m", undefined, {}, field).taken).toBe(false);
  });
});
