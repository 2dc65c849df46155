import { describe, expect, it } from "vitest";

import { by, HOME, moved } from "./own-picture";

const ROOM = { x: 1000, y: 500 };

describe("the own picture", () => {
  it("moves with the arrow keys, farther with Shift, and comes back with Home", () => {
    expect(moved({ x: 0.5, y: 0.5 }, "ArrowLeft", false, ROOM)).toEqual({ x: 0.476, y: 0.5 });
    expect(moved({ x: 0.5, y: 0.5 }, "ArrowDown", true, ROOM)).toEqual({ x: 0.5, y: 0.74 });
    expect(moved({ x: 0, y: 0 }, "Home", false, ROOM)).toEqual(HOME);
    expect(moved(HOME, "Tab", false, ROOM)).toBeUndefined();
  });

  it("never leaves the window, nor gets lost in one without room", () => {
    expect(by({ x: 0.5, y: 0.5 }, { x: 9999, y: -9999 }, ROOM)).toEqual({ x: 1, y: 0 });
    expect(by({ x: 0.5, y: 0.5 }, { x: -1, y: 1 }, { x: -40, y: 0 })).toEqual({ x: 0, y: 1 });
    expect(by({ x: Number.NaN, y: 1 }, { x: 0, y: 0 }, ROOM)).toEqual({ x: 0, y: 1 });
  });
});
