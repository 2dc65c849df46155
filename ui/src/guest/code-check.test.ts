import { describe, expect, it } from "vitest";

import { CodeExchange, type Party } from "../trust/code";
import { type Carrier, Handshake } from "../trust/handshake";
import { CodeCheck } from "./code-check";

const ID = "3b939c28-fbd8-468c-bea2-19b876c5879d";
const sdpOf = (digit: string) =>
  `v=0\r\na=fingerprint:sha-256 ${Array.from({ length: 32 }, () => digit + digit).join(":")}\r\n`;
const [GUEST, OTHER, SERVER] = ["A", "B", "C"].map(sdpOf) as [string, string, string];
const fingerprint = (sdp: string) => /sha-256 [0-9A-F:]+/u.exec(sdp)?.[0] ?? "";
const random = (byte: number) => new Uint8Array(32).fill(byte);

function guest(initiator: boolean) {
  const call = { room: "7", words: "garden-lantern", sessionId: ID, initiator };
  return new CodeCheck(call, () => random(1));
}

/** The other side of the call: the inviter, or another guest. */
function other(initiator: boolean, words = "garden-lantern", party: Party = "inviter") {
  const role = initiator ? ("offerer" as const) : ("answerer" as const);
  const session = { id: ID, role, local: fingerprint(OTHER) };
  const code = { room: "7", words, party };
  return new Handshake(new CodeExchange(code, session, random(2)), session);
}

/** The guest offers; `seen` is the guest's description as it arrives. */
function guestOffers(partner: Handshake, seen = GUEST, answered = OTHER) {
  const check = guest(true);
  const pake = check.offer(GUEST);
  const second = partner.handle({ kind: "offer", pake, remote: fingerprint(seen) });
  const third = check.received("answer", second.send?.pake, answered, GUEST);
  const end = partner.handle({ kind: "candidate", pake: third?.pake });
  return { check, second, third, end };
}

/** The inviter offers. */
function guestAnswers(partner: Handshake, seen = GUEST) {
  const check = guest(false);
  const second = check.received("offer", partner.offer(), OTHER, GUEST);
  const third = partner.handle({
    kind: "answer",
    pake: second?.pake,
    remote: fingerprint(seen),
  });
  return { check, second, third };
}

describe("the check of an invite's words", () => {
  it("verifies the inviter, also if that side offers", () => {
    const offered = guestOffers(other(false));
    expect(offered.check.verdict).toBe("verified");
    expect(offered.end.outcome?.kind).toBe("verified");
    expect(offered.check.spentAGuess).toBe(false);

    const { check, second, third } = guestAnswers(other(true));
    expect(second?.carrier).toBe("answer");
    expect(check.verdict, "not before the last move").toBeNull();
    expect(check.spentAGuess, "somebody could try words").toBe(true);
    check.candidate(third.send?.pake);
    expect(check.verdict).toBe("verified");
    expect(check.spentAGuess).toBe(false);
  });

  it("refuses who has other words, and lets them know", () => {
    const offered = guestOffers(other(false, "garden-ladder"));
    expect(offered.check.verdict).toBe("mismatch");
    expect(offered.third?.carrier).toBe<Carrier>("candidate");
    expect(offered.end.outcome?.kind).toBe("mismatch");
    expect(offered.check.spentAGuess).toBe(true);

    const { check, third } = guestAnswers(other(true, "garden-ladder"));
    check.candidate(third.send?.pake);
    expect(check.verdict).toBe("mismatch");
    expect(check.spentAGuess).toBe(true);
  });

  it("refuses another guest", () => {
    expect(guestOffers(other(false, "garden-lantern", "guest")).check.verdict).toBe("mismatch");
  });

  it("notices a server that puts its own certificate in", () => {
    expect(guestOffers(other(false), SERVER).check.verdict).toBe("mismatch");
    expect(guestOffers(other(false), GUEST, SERVER).check.verdict).toBe("mismatch");
    const { check, third } = guestAnswers(other(true), SERVER);
    check.candidate(third.send?.pake);
    expect(check.verdict).toBe("mismatch");
  });

  it("refuses a partner that does not take part", () => {
    const offerer = guest(true);
    offerer.offer(GUEST);
    expect(offerer.received("answer", undefined, OTHER, GUEST)).not.toBeNull();
    expect(offerer.verdict).toBe("mismatch");

    const answerer = guest(false);
    expect(answerer.received("offer", null, OTHER, GUEST)?.carrier).toBe("answer");
    expect(answerer.verdict).toBe("mismatch");

    const late = guestAnswers(other(true)).check;
    expect(late.timedOut()?.carrier).toBe("candidate");
    expect(late.verdict).toBe("mismatch");
  });

  it("refuses another certificate later in the call", () => {
    const { check } = guestOffers(other(false));
    expect(check.received("offer", undefined, OTHER, GUEST)).toBeNull();
    expect(check.verdict).toBe("verified");
    check.received("offer", undefined, SERVER, GUEST);
    expect(check.verdict).toBe("mismatch");
  });

  it("repeats the first move until it is answered", () => {
    const check = guest(true);
    const first = check.offer(GUEST);
    expect(check.offer(GUEST)).toEqual(first);
    const answer = other(false).handle({
      kind: "offer",
      pake: first,
      remote: fingerprint(GUEST),
    });
    check.received("answer", answer.send?.pake, OTHER, GUEST);
    expect(check.offer(GUEST)).toBeNull();
    expect(guest(false).offer(GUEST), "the other side makes the first offer").toBeNull();
  });

  it("does not trust a call without certificates or with a session that has no id", () => {
    const check = guest(true);
    expect(check.offer("v=0\r\n")).toBeNull();
    check.received("answer", {}, OTHER, "v=0\r\n");
    expect(check.verdict).toBe("mismatch");

    const call = { room: "7", words: "garden-lantern", sessionId: "", initiator: false };
    const nameless = new CodeCheck(call, () => random(1));
    nameless.received("offer", {}, OTHER, GUEST);
    expect(nameless.verdict).toBe("mismatch");
    nameless.candidate({});
    expect(nameless.verdict).toBe("mismatch");
  });
});
