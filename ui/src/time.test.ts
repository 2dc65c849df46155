import { describe, expect, it } from "vitest";

import { clock, untilNextSecond } from "./time";

describe("times", () => {
  it("are minutes and seconds, and hours once there are some", () => {
    expect([0, 999, 1000, 59_999, 60_000, 754_000, 3_600_000, 3_723_000, -5].map(clock)).toEqual([
      "0:00",
      "0:00",
      "0:01",
      "0:59",
      "1:00",
      "12:34",
      "1:00:00",
      "1:02:03",
      "0:00",
    ]);
  });

  it("change at the full second", () => {
    expect(untilNextSecond(1000, 1000)).toBe(1000);
    expect(untilNextSecond(1000, 1999)).toBe(1);
    expect(untilNextSecond(1000, 500)).toBe(500);
  });
});
