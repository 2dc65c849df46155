import { describe, expect, it } from "vitest";

import { asSendError } from "./backend";

describe("a failed command", () => {
  it("keeps the app's own error", () => {
    const error = { code: "BAD_ROOM", detail: "a room code has 1 to 64 characters" };
    expect(asSendError(error)).toBe(error);
  });

  it("gets the page's code when the app gave none, with the cause as detail", () => {
    expect(asSendError("run not allowed")).toEqual({
      code: "COMMAND_FAILED",
      detail: "run not allowed",
    });
    for (const odd of [undefined, null, 7, {}, { code: 7 }, new Error("broken")]) {
      expect(asSendError(odd)).toEqual({ code: "COMMAND_FAILED", detail: null });
    }
  });
});
