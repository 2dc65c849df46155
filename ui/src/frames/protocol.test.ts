import { describe, expect, it } from "vitest";

import { HEADER_BYTES, parse, request } from "./protocol";
import { message } from "../testing/frames";

describe("the frame protocol", () => {
  it("writes requests as the app expects them", () => {
    const it = { stream: "remote", after: 7, maxWidth: 640, maxHeight: 480 } as const;
    expect(JSON.parse(request(it))).toEqual(it);
  });

  it("reads the header and the planes", () => {
    const frame = parse(
      message({
        width: 4,
        height: 2,
        sequence: 0xfffffffe,
        flags: 1,
        dueUs: 1_700_000_000_012_345n,
      }),
    );
    expect(frame).toMatchObject({
      width: 4,
      height: 2,
      sequence: 0xfffffffe,
      mirrored: true,
      dueMs: 1_700_000_000_012.345,
    });
    expect(frame?.pixels).toHaveLength(12);
    expect(parse(message({ width: 4, height: 2, flags: 2 }))?.mirrored).toBe(false);
  });

  it("accepts nothing but a whole frame", () => {
    const good = message({ width: 4, height: 2 });
    const bad = {
      text: "hello",
      nothing: null,
      short: good.slice(0, HEADER_BYTES - 1),
      "no pixels": good.slice(0, HEADER_BYTES),
      "a byte too few": good.slice(0, -1),
      "a byte too many": message({ width: 4, height: 2, extra: 1 }),
      "no width": message({ width: 0, height: 2 }),
      "odd height": message({ width: 4, height: 3, extra: 4 }),
    };
    for (const [what, bytes] of Object.entries(bad)) expect(parse(bytes), what).toBeNull();
  });

  it("survives random bytes", () => {
    let seed = 20260115;
    const random = () => (seed = (seed * 1664525 + 1013904223) >>> 0);
    for (let round = 0; round < 2000; round++) {
      const bytes = new Uint8Array(random() % 64);
      for (let i = 0; i < bytes.length; i++) bytes[i] = random() % 7 === 0 ? random() : 0;
      const frame = parse(bytes.buffer);
      if (frame) expect(frame.pixels.length).toBe((frame.width * frame.height * 3) / 2);
    }
  });
});
