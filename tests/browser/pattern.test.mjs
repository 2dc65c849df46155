// Tests of the test pattern's code, without a browser: `node --test tests/browser`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { age, crc16, decode, encode, Painter, read } from "./pattern.js";

/** The part of the `VideoFrame` API that `read` uses. */
const frame = (data, width, height) => ({
  visibleRect: { x: 0, y: 0, width, height },
  allocationSize: ({ rect }) => rect.width * rect.height,
  copyTo: async (target, { rect }) => {
    for (let y = 0; y < rect.height; y++) target.set(data.subarray(y * width, y * width + rect.width), y * rect.width);
    return [{ offset: 0, stride: rect.width }];
  },
});

test("the checksum is CRC-16/CCITT-FALSE", () => {
  assert.equal(crc16(new TextEncoder().encode("123456789")), 0x29b1, "the catalogue's check value");
});

test("the code of a painted frame can be read", async () => {
  const painter = new Painter(640, 360);
  const code = await read(frame(painter.paint(54321, 1_790_000_000_123), 640, 360));
  assert.deepEqual(code, { counter: 54321, timeMs: 1_790_000_000_123 % 2 ** 32 }, "counter and time survive");
});

test("a frame without a code is not misread", async () => {
  const noise = new Uint8Array(640 * 360).map((_, index) => (index * 37) & 0xff);
  assert.equal(await read(frame(noise, 640, 360)), null, "noise has no valid checksum");
});

test("a flipped bit is detected", () => {
  const bytes = encode(7, 1000);
  bytes[3] ^= 4;
  assert.equal(decode(bytes), null, "the checksum is wrong");
});

test("an age is right across the wrap of the clock", () => {
  assert.equal(age(2 ** 32 - 10, 2 ** 33 + 20), 30, "30 ms pass across the wrap");
  assert.equal(age(1020, 1000), -20, "a frame from the future has a negative age");
});
