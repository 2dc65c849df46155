import { describe, expect, it } from "vitest";

import { HOME, movedBy, movedByKey } from "./self-view";

const SPACE = { x: 1000, y: 500 };

describe("the self-view", () => {
  it("moves with the arrow keys, farther with Shift, and goes back with Home", () => {
    const middle = { x: 0.5, y: 0.5 };
    expect(movedByKey(middle, "ArrowLeft", false, SPACE)).toEqual({ x: 0.476, y: 0.5 });
    expect(movedByKey(middle, "ArrowDown", true, SPACE)).toEqual({ x: 0.5, y: 0.74 });
    expect(movedByKey({ x: 0, y: 0 }, "Home", false, SPACE)).toEqual(HOME);
    expect(movedByKey(HOME, "Tab", false, SPACE)).toBeUndefined();
  });

  it("never leaves the window, also one without space to move in", () => {
    const middle = { x: 0.5, y: 0.5 };
    expect(movedBy(middle, { x: 9999, y: -9999 }, SPACE)).toEqual({ x: 1, y: 0 });
    expect(movedBy(middle, { x: -1, y: 1 }, { x: -40, y: 0 })).toEqual({ x: 0, y: 1 });
    expect(movedBy({ x: Number.NaN, y: 1 }, { x: 0, y: 0 }, SPACE)).toEqual({ x: 0, y: 1 });
  });
});
