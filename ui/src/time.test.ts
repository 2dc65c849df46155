import { describe, expect, it } from "vitest";

import { clock, dayAndTime, untilNextSecond } from "./time";

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

describe("the day and time of something", () => {
  const at = (month: number, day: number, hour = 20, minute = 5) =>
    new Date(2026, month - 1, day, hour, minute).getTime();

  it("is told from today", () => {
    const now = at(3, 12, 9);
    expect(dayAndTime(at(3, 12, 0, 1), now)).toBe("Today, 0:01");
    expect(dayAndTime(at(3, 11, 23, 59), now)).toBe("Yesterday, 23:59");
    expect(dayAndTime(at(3, 9), now)).toBe("Monday, 20:05");
    expect(dayAndTime(at(3, 5), now)).toBe("5 Mar 2026, 20:05");
    expect(dayAndTime(at(3, 13), now), "after the clock was set back").toBe("13 Mar 2026, 20:05");
  });
});
