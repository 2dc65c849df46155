// @vitest-environment node
import { describe, expect, it } from "vitest";

import { MAX_PICTURE_DATA_BYTES } from "./generated/contract";
import { middle, smallEnough } from "./picture";

describe("a profile picture", () => {
  it("is the middle of the image", () => {
    expect(middle(400, 300)).toEqual({ x: 50, y: 0, side: 300 });
    expect(middle(300, 400)).toEqual({ x: 0, y: 50, side: 300 });
    expect(middle(7, 7)).toEqual({ x: 0, y: 0, side: 7 });
  });

  it("is as good as the server allows", () => {
    const encode = (quality: number) => "x".repeat(Math.round(40_000 * quality));
    expect(smallEnough(encode)?.length).toBe(30_000);
    expect(smallEnough(() => "x".repeat(MAX_PICTURE_DATA_BYTES))).not.toBeNull();
    expect(smallEnough(() => "x".repeat(MAX_PICTURE_DATA_BYTES + 1))).toBeNull();
  });
});
