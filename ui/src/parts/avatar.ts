// How a partner is shown in words and, where there is no moving picture, in their place.

import { h, type ElementNode } from "../dom/node";
import type { Partner } from "../generated/contract";
import { words } from "../locale";
import { foreign, initial, plain, safePicture } from "../text";

/** The partner's name, or what to call them without one that can be seen. */
export function nameOf({ name }: Partner): string {
  const shown = plain(name ?? "", 60);
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(shown) ? shown : words.anonymous;
}

/** What the relay says of those who did not say where they are. */
const NOWHERE = "Unknown";

/** Age and place, as far as they are told. */
export function about({ age, location }: Partner): ElementNode | null {
  const place = plain(location ?? "", 80);
  const parts = [age === null ? null : String(age), place === "" || place === NOWHERE ? null : foreign(place)].filter(
    (part) => part !== null,
  );
  if (parts.length === 0) return null;
  return h("p", { class: "about" }, parts[0], parts.length > 1 && " · ", parts[1]);
}

export function avatar(partner: Partner): ElementNode {
  const picture = safePicture(partner.picture);
  return h(
    "div",
    { class: "avatar", "aria-hidden": "true" },
    picture === null ? h("span", {}, initial(nameOf(partner))) : h("img", { src: picture, alt: "" }),
  );
}
