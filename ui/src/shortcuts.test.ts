import { describe, expect, it, vi } from "vitest";

import { KEYS, keyLabel, zoomLabel } from "./keys";
import { shortcut } from "./shortcuts";
import { makeCall, makeState, STATES } from "./testing/states";

function press(
  key: string,
  state = makeState({ screen: makeCall() }),
  init: KeyboardEventInit = {},
  on?: Element,
) {
  const act = { send: vi.fn(), openSettings: vi.fn() };
  const event = new KeyboardEvent("keydown", { key, bubbles: true, ...init });
  (on ?? document.body).dispatchEvent(event);
  const taken = shortcut(event, state, act);
  return {
    taken,
    commands: act.send.mock.calls.flat(),
    opened: act.openSettings.mock.calls.length,
  };
}

function inField(html: string): Element {
  document.body.innerHTML = html;
  return document.body.firstElementChild as Element;
}

const HANG_UP = { ctrlKey: true, shiftKey: true };

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

  it("hang up with three keys, and with no fewer", () => {
    const hangUp = [{ type: "hangUp" }];
    expect(press("H", undefined, HANG_UP).commands).toEqual(hangUp);
    expect(press("H", undefined, { metaKey: true, shiftKey: true }).commands).toEqual(hangUp);
    for (const fewer of [{}, { shiftKey: true }, { ctrlKey: true }]) {
      expect(press("h", undefined, fewer).taken).toBe(false);
    }
    expect(press("H", makeState(), HANG_UP).taken, "outside a call").toBe(false);
    expect(Object.values(KEYS).every(({ key }) => key !== "Escape")).toBe(true);
  });

  it("open the settings on every screen", () => {
    for (const state of Object.values(STATES)) {
      expect(press(",", state, { ctrlKey: true }).opened).toBe(1);
    }
  });

  it("ignore other screens, other keys and key combinations", () => {
    expect(press("m", STATES.connecting).taken).toBe(false);
    expect(press("v", STATES.ended).taken).toBe(false);
    expect(press("n").taken).toBe(false);
    const combinations = [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { repeat: true }];
    for (const held of combinations) expect(press("m", undefined, held).taken).toBe(false);
  });

  it("leave letters to text fields and menus, but not key combinations", () => {
    for (const html of ["<input>", "<input type=text>", "<select></select>", "<textarea>"]) {
      expect(press("m", undefined, {}, inField(html)).taken, html).toBe(false);
      expect(press("H", undefined, HANG_UP, inField(html)).taken, html).toBe(true);
    }
    expect(press("m", undefined, {}, inField("<input type=checkbox>")).taken).toBe(true);
  });

  it("are written as the system writes them", () => {
    expect(keyLabel("hangUp", false)).toBe("Ctrl+Shift+H");
    expect(keyLabel("hangUp", true)).toBe("⇧⌘H");
    expect(keyLabel("mute", true)).toBe("M");
    expect(zoomLabel("zoomIn", false)).toBe("Ctrl+Plus");
    expect(zoomLabel("zoomOut", true)).toBe("⌘−");
  });
});
