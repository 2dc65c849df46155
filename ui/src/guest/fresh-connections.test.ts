import { describe, expect, it } from "vitest";
import { EVERY_MS, FreshConnections, MAX_AT_ONCE } from "./fresh-connections";

describe("the connections of a call", () => {
  it("grow in number with the partner's offers, and drop what is of an earlier one", () => {
    const connections = new FreshConnections();
    expect(connections.place(undefined, true, 0)).toBe("present");
    expect(connections.place(0, false, 0)).toBe("present");
    expect(connections.place(1, false, 0)).toBe("past");
    expect(connections.number).toBe(0);

    expect(connections.place(1, true, 0)).toBe("fresh");
    expect(connections.number).toBe(1);
    expect(connections.place(1, true, 0)).toBe("present");
    expect(connections.place(0, true, 0)).toBe("past");
    expect(connections.place(undefined, false, 0)).toBe("past");
  });

  it("cannot be made in a loop, and can be made now and then for a day", () => {
    const connections = new FreshConnections();
    for (let number = 1; number <= MAX_AT_ONCE; number += 1)
      expect(connections.place(number, true, 0)).toBe("fresh");
    expect(connections.place(MAX_AT_ONCE + 1, true, 0)).toBe("tooMany");

    for (let number = 10; number < 1000; number += 1)
      expect(connections.place(number, true, number * EVERY_MS)).toBe("fresh");
  });
});
