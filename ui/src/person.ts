// What to call the other person in a sentence.

import type { Partner } from "./generated/contract";
import { words } from "./locale";
import { canBeSeen, plain } from "./text";

const PLACEHOLDER = "{name}";

/** The name, made safe to show; `null` for a partner without one that can be seen. */
export function nameOf({ name }: Partner): string | null {
  const shown = plain(name ?? "", 60);
  return canBeSeen(shown) ? shown : null;
}

/** A person with nothing but a name. */
export const personCalled = (name: string | null): Partner => ({
  name,
  picture: null,
  age: null,
  location: null,
});

/** The name as a title: "Amara", or "The other person". */
export function titleOf(partner: Partner): string {
  return nameOf(partner) ?? words.anonymous.start;
}

/** The parts of `template` around `{name}`, and what stands between them. */
export function splitAtName(template: string, partner: Partner): [string, string, string] {
  const at = template.indexOf(PLACEHOLDER);
  if (at < 0) return [template, "", ""];
  const { start, inside } = words.anonymous;
  const name = nameOf(partner) ?? (at === 0 ? start : inside);
  return [template.slice(0, at), name, template.slice(at + PLACEHOLDER.length)];
}

/** `template` with the name in place of `{name}`. */
export function withName(template: string, partner: Partner): string {
  return splitAtName(template, partner).join("");
}
