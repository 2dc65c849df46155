import { describe, expect, it } from "vitest";

import { nameOf, titleOf, withName } from "./person";

const named = (name: string | null) => ({ name, age: null, location: null, picture: null });

describe("the other person", () => {
  it("is called by name", () => {
    expect(nameOf(named("Zoë"))).toBe("Zoë");
    expect(withName("{name} is muted.", named("Zoë"))).toBe("Zoë is muted.");
    expect(withName("Connecting to {name}", named("Zoë"))).toBe("Connecting to Zoë");
    expect(withName("You're muted", named("Zoë"))).toBe("You're muted");
  });

  it("is “the other person” without a name that can be seen", () => {
    for (const name of [null, "", "  ", "\u202E\u200b", "\u3164", "\u2800"]) {
      expect(nameOf(named(name))).toBeNull();
      expect(titleOf(named(name))).toBe("The other person");
      expect(withName("{name} is muted.", named(name))).toBe("The other person is muted.");
      expect(withName("Connecting to {name}", named(name))).toBe("Connecting to the other person");
    }
  });

  it("cannot change a sentence by their name", () => {
    expect(withName("{name} is back", named("$& {name} $1"))).toBe("$& {name} $1 is back");
  });
});
