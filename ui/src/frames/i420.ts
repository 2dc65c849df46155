// I420 to RGBA, for small frames and for web views without VideoFrame. BT.601, limited range, in
// fixed point.

/** 16.16 fixed point: 255/219 for luma, and the BT.601 factors scaled by 255/224 for chroma. */
const Y = 76309;
const RV = 104597;
const GU = 25675;
const GV = 53279;
const BU = 132201;
const HALF = 1 << 15;

/**
 * Writes `pixels` (planes Y, U and V without padding, even sides) to `rgba`: 4 bytes a pixel,
 * opaque.
 */
export function i420ToRgba(
  pixels: Uint8Array,
  width: number,
  height: number,
  rgba: Uint8ClampedArray,
): void {
  const luma = width * height;
  const chromaWidth = width >> 1;
  const u = pixels.subarray(luma, luma + (luma >> 2));
  const v = pixels.subarray(luma + (luma >> 2), luma + (luma >> 1));
  for (let row = 0; row < height; row++) {
    const chromaRow = (row >> 1) * chromaWidth;
    let at = row * width;
    let out = at * 4;
    for (let column = 0; column < chromaWidth; column++) {
      const cb = (u[chromaRow + column] as number) - 128;
      const cr = (v[chromaRow + column] as number) - 128;
      const red = RV * cr + HALF;
      const green = HALF - GU * cb - GV * cr;
      const blue = BU * cb + HALF;
      for (let pixel = 0; pixel < 2; pixel++, at++, out += 4) {
        const y = ((pixels[at] as number) - 16) * Y;
        // Uint8ClampedArray clamps to 0..255.
        rgba[out] = (y + red) >> 16;
        rgba[out + 1] = (y + green) >> 16;
        rgba[out + 2] = (y + blue) >> 16;
        rgba[out + 3] = 255;
      }
    }
  }
}
