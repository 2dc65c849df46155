import { describe, expect, it } from "vitest";

import { i420ToRgba } from "./i420";

/** Converts a frame of 4 × 2 pixels of one color; returns its RGBA. */
function convert(y: number, u: number, v: number): number[] {
  const pixels = new Uint8Array(12).fill(y, 0, 8).fill(u, 8, 10).fill(v, 10, 12);
  const rgba = new Uint8ClampedArray(4 * 2 * 4);
  i420ToRgba(pixels, 4, 2, rgba);
  const all = Array.from({ length: 8 }, (_, pixel) =>
    Array.from(rgba.subarray(pixel * 4, pixel * 4 + 4)),
  );
  for (const pixel of all) expect(pixel).toEqual(all[0]);
  return all[0] as number[];
}

/** ITU-R BT.601, limited range, in floating point. */
function reference(y: number, u: number, v: number): number[] {
  const [luma, cb, cr] = [((y - 16) * 255) / 219, ((u - 128) * 255) / 224, ((v - 128) * 255) / 224];
  const rgb = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb];
  return rgb.map((value) => Math.min(255, Math.max(0, value)));
}

describe("I420 to RGBA", () => {
  it("converts black, white and red", () => {
    expect(convert(16, 128, 128)).toEqual([0, 0, 0, 255]);
    expect(convert(235, 128, 128)).toEqual([255, 255, 255, 255]);
    const [red, green, blue] = convert(81, 90, 240) as [number, number, number];
    expect(red).toBeGreaterThanOrEqual(253);
    expect(Math.max(green, blue)).toBeLessThanOrEqual(2);
  });

  it("is within one step of BT.601 across the whole range", () => {
    // Every 15th value, with 0 and 255.
    for (let y = 0; y < 256; y += 15) {
      for (let u = 0; u < 256; u += 15) {
        for (let v = 0; v < 256; v += 15) {
          const wanted = reference(y, u, v);
          convert(y, u, v)
            .slice(0, 3)
            .forEach((value, index) => {
              expect(
                Math.abs(value - (wanted[index] as number)),
                `${y} ${u} ${v}`,
              ).toBeLessThanOrEqual(1);
            });
        }
      }
    }
  });

  it("uses each chroma sample for its four pixels", () => {
    const pixels = new Uint8Array([
      ...new Array<number>(16).fill(128),
      128,
      255,
      0,
      128,
      128,
      128,
      128,
      128,
    ]);
    const rgba = new Uint8ClampedArray(64);
    i420ToRgba(pixels, 4, 4, rgba);
    const blue = (x: number, y: number) => rgba[(y * 4 + x) * 4 + 2];
    expect([blue(0, 0), blue(2, 0), blue(3, 1), blue(0, 2), blue(1, 3), blue(3, 3)]).toEqual([
      130, 255, 255, 0, 0, 130,
    ]);
  });
});
