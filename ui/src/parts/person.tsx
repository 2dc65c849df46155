// The other person: a name inside a sentence, age and place, and an avatar where there is no video.

import type { Partner } from "../generated/contract";
import { words } from "../locale";
import { nameOf, splitAtName } from "../person";
import { initial, plain, safePicture } from "../text";
import { Icon } from "./icons";

/** What the signaling server puts in for people who don't say where they are. */
const NO_PLACE = "Unknown";

/** Text from someone else, in an element of its own direction. */
export function Foreign({ text, limit }: { text: string; limit?: number }) {
  return <bdi class="foreign">{plain(text, limit)}</bdi>;
}

/** A sentence of the locale with the person's name in place of `{name}`. */
export function Sentence({ template, partner }: { template: string; partner: Partner }) {
  const [before, name, after] = splitAtName(template, partner);
  // preact writes an empty text to the document at every rendering.
  return (
    <>
      {before !== "" && before}
      {name !== "" && <Foreign text={name} />}
      {after !== "" && after}
    </>
  );
}

/** Age and place, as far as the partner gave them. */
export function About({ partner }: { partner: Partner }) {
  const { age } = partner;
  const location = plain(partner.location ?? "", 80);
  const place = location === NO_PLACE ? "" : location;
  if (age === null && place === "") return null;
  return (
    <p class="about">
      {age}
      {age !== null && place !== "" && " · "}
      {place !== "" && <Foreign text={place} />}
    </p>
  );
}

/** What both like to talk about. */
export function InCommon({ interests }: { interests: string[] }) {
  if (interests.length === 0) return null;
  return (
    <p class="about" data-testid="in-common">
      {words.call.inCommon}{" "}
      {interests.map((interest, index) => (
        <span key={interest}>
          {index > 0 && ", "}
          <Foreign text={interest} limit={40} />
        </span>
      ))}
    </p>
  );
}

/** The profile picture, else the first letter of the name, else an icon. */
export function Avatar({ partner }: { partner: Partner }) {
  const picture = safePicture(partner.picture);
  const letter = initial(nameOf(partner) ?? "");
  return (
    <div class="avatar" aria-hidden="true">
      {picture !== null ? (
        <img src={picture} alt="" />
      ) : letter !== "" ? (
        <span>{letter}</span>
      ) : (
        <Icon name="person" />
      )}
    </div>
  );
}
