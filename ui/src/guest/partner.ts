// The other person of a guest's call, as the components know people.

import type { Partner } from "../generated/contract";
import { personCalled } from "../person";
import type { Person } from "./call-events";

/** The name that the server puts in for people who give none. */
const NO_NAME = "Anonymous";

export function partnerOf({ name, picture }: Person): Partner {
  return { ...personCalled(name === NO_NAME ? null : name), picture };
}
