import { describe, expect, it, vi } from "vitest";

import type { Step } from "../trust/handshake";
import type { Verdict } from "./code-check";
import { Negotiation } from "./negotiation";
import type { Signal } from "./protocol";

/** A peer connection that follows the rules for descriptions, and nothing else. */
class FakePeer {
  signalingState: RTCSignalingState = "stable";
  localDescription: RTCSessionDescription | null = null;
  remoteDescription: RTCSessionDescription | null = null;
  candidates: (string | undefined)[] = [];

  /** Offers that were made and taken back. */
  rollbacks = 0;
  #offers = 0;

  // eslint-disable-next-line @typescript-eslint/require-await -- as in the browser
  async createOffer(): Promise<RTCSessionDescriptionInit> {
    this.#offers += 1;
    return { type: "offer", sdp: `offer ${String(this.#offers)}` };
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as in the browser
  async setLocalDescription(description?: RTCLocalSessionDescriptionInit) {
    const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
    const { sdp = type } = description ?? {};
    this.localDescription = { type, sdp } as RTCSessionDescription;
    this.signalingState = type === "offer" ? "have-local-offer" : "stable";
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as in the browser
  async setRemoteDescription(description: RTCSessionDescriptionInit) {
    if (description.sdp === "garbage") throw new Error("not SDP");
    const isOffer = description.type === "offer";
    if (isOffer && this.signalingState === "have-local-offer") this.rollbacks += 1;
    if (!isOffer && this.signalingState !== "have-local-offer") throw new Error("no offer");
    this.remoteDescription = description as RTCSessionDescription;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as in the browser
  async addIceCandidate(candidate: RTCIceCandidateInit) {
    if (candidate.candidate === "garbage") throw new Error("not a candidate");
    this.candidates.push(candidate.candidate);
  }
}

/** A check that does what it is told to. */
function checkOf(move: Step["send"]) {
  return {
    verdict: null as Verdict | null,
    offer: vi.fn(() => (move === null ? null : { move: "first" })),
    received: vi.fn(() => move),
    candidate: vi.fn((): Step["send"] => null),
  };
}

function side(polite: boolean, move: Step["send"] = null, before?: string) {
  const check = checkOf(move);
  const peer = new FakePeer();
  const sent: Signal[] = [];
  const onFirstOffer = vi.fn(() => Promise.resolve());
  const onFault = vi.fn();
  const onChecked = vi.fn();
  const negotiation = new Negotiation({
    peer: peer,
    polite,
    send: (signal) => sent.push(signal),
    onFirstOffer,
    onFault,
    before,
    check,
    onChecked,
  });
  const types = () => sent.map((it) => (it.kind === "description" ? it.description.type : "?"));
  return { peer, negotiation, sent, check, types, onFirstOffer, onFault, onChecked };
}

const described = (type: "offer" | "answer", sdp: string = type, round?: number): Signal => ({
  kind: "description",
  description: { type, sdp },
  ...(round !== undefined && { round }),
});
const candidate = (line: string): Signal => ({ kind: "candidate", candidate: { candidate: line } });

describe("negotiation", () => {
  it("checks the first offer of a fresh connection before it is applied", async () => {
    const answerer = side(true, null, "the one before");
    answerer.check.received.mockImplementation(() => {
      answerer.check.verdict = "mismatch";
      return null;
    });
    await answerer.negotiation.receive(described("offer", "theirs"));
    const compared = ["offer", undefined, "theirs", "the one before"] as const;
    expect(answerer.check.received).toHaveBeenCalledWith(...compared);
    expect(answerer.types()).toEqual([]);
    expect(answerer.peer.remoteDescription).toBeNull();
  });

  it("repeats an offer until it is answered", async () => {
    const { negotiation, types } = side(false);
    negotiation.repeatOffer();
    expect(types(), "there is none").toEqual([]);
    await negotiation.offer();
    negotiation.repeatOffer();
    await negotiation.receive(described("answer"));
    negotiation.repeatOffer();
    expect(types()).toEqual(["offer", "offer"]);
  });

  it("offers, and takes the answer", async () => {
    const { peer, negotiation, types } = side(false);
    await negotiation.offer();
    await negotiation.receive(described("answer"));
    expect(types()).toEqual(["offer"]);
    expect(peer.signalingState).toBe("stable");
  });

  it("sends the moves of the check with its descriptions", async () => {
    const answerer = side(true, { carrier: "answer", pake: { move: "second" } });
    await answerer.negotiation.receive({
      ...described("offer", "theirs"),
      pake: "first",
    } as Signal);
    expect(answerer.check.received).toHaveBeenCalledWith("offer", "first", "theirs", "answer");
    expect(answerer.sent).toEqual([{ ...described("answer"), pake: { move: "second" } }]);

    const offerer = side(false, { carrier: "candidate", pake: { move: "third" } });
    await offerer.negotiation.offer();
    offerer.negotiation.repeatOffer();
    await offerer.negotiation.receive({ ...described("answer", "theirs"), pake: 7 } as Signal);
    expect(offerer.check.received).toHaveBeenCalledWith("answer", 7, "theirs", "offer");
    const offer = { ...described("offer", "offer", 1), pake: { move: "first" } };
    expect(offerer.sent).toEqual([offer, offer, { kind: "pake", pake: { move: "third" } }]);
    expect(offerer.onChecked).toHaveBeenCalledTimes(1);
  });

  it("does not apply what does not match, and lets the partner know", async () => {
    const refusal = { carrier: "candidate", pake: { move: "refusal" } } as const;
    const offerer = side(false, refusal);
    await offerer.negotiation.offer();
    offerer.check.received.mockImplementation(() => {
      offerer.check.verdict = "mismatch";
      return refusal;
    });
    await offerer.negotiation.receive(described("answer", "theirs"));
    expect(offerer.peer.remoteDescription).toBeNull();
    expect(offerer.sent.at(-1)).toEqual({ kind: "pake", pake: refusal.pake });
    expect(offerer.onChecked).toHaveBeenCalledTimes(1);
    expect(offerer.onFault).not.toHaveBeenCalled();

    const answerer = side(true);
    await answerer.negotiation.receive(described("offer", "first"));
    answerer.check.received.mockImplementation(() => {
      answerer.check.verdict = "mismatch";
      return refusal;
    });
    await answerer.negotiation.receive(described("offer", "another certificate"));
    expect(answerer.peer.remoteDescription?.sdp).toBe("first");
    expect(answerer.types()).toEqual(["answer", "?"]);
    expect(answerer.sent.at(-1)).toEqual({ kind: "pake", pake: refusal.pake });
  });

  it("sends the last move before it applies the answer", async () => {
    const { peer, negotiation, sent } = side(false, { carrier: "candidate", pake: {} });
    await negotiation.offer();
    const applies = vi.spyOn(peer, "setRemoteDescription").mockImplementation(() => {
      expect(sent.at(-1)?.kind).toBe("pake");
      return Promise.resolve();
    });
    await negotiation.receive(described("answer"));
    expect(applies).toHaveBeenCalledTimes(1);
  });

  it("takes a move of its own in its turn, and never for a candidate", async () => {
    const { negotiation, check, peer } = side(true);
    void negotiation.receive(described("offer"));
    await negotiation.receive({ kind: "pake", pake: 5 });
    expect(check.candidate).toHaveBeenCalledWith(5);
    expect(check.received.mock.invocationCallOrder[0]).toBeLessThan(
      check.candidate.mock.invocationCallOrder[0] ?? 0,
    );
    expect(peer.candidates).toEqual([]);
  });

  it("does not check what it does not apply", async () => {
    const { negotiation, check } = side(false, { carrier: "candidate", pake: {} });
    await negotiation.receive(described("answer"));
    await negotiation.offer();
    await negotiation.receive(described("offer"));
    expect(check.received).not.toHaveBeenCalled();
  });

  it("answers, with the local tracks in the first answer", async () => {
    const { negotiation, types, onFirstOffer } = side(true);
    await negotiation.receive(described("offer"));
    await negotiation.receive(described("offer"));
    expect(types()).toEqual(["answer", "answer"]);
    expect(onFirstOffer).toHaveBeenCalledTimes(1);
  });

  it("yields to the other offer if it is polite, and ignores it if not", async () => {
    const polite = side(true);
    await polite.negotiation.offer();
    await polite.negotiation.receive(described("offer"));
    expect(polite.types()).toEqual(["offer", "answer"]);

    const impolite = side(false);
    await impolite.negotiation.offer();
    await impolite.negotiation.receive(described("offer"));
    expect(impolite.types()).toEqual(["offer"]);
    expect(impolite.peer.remoteDescription).toBeNull();
  });

  it("applies a polite side's later offer when it is answered, and never takes one back", async () => {
    const { peer, negotiation, types, sent, onFault } = side(true);
    await negotiation.receive(described("offer"));
    await negotiation.offer();
    expect(peer.signalingState).toBe("stable");
    expect(negotiation.holdsOffer).toBe(true);
    expect(negotiation.repeatOffer()).toBe(true);
    const offer = described("offer", "offer 1", 1);
    expect(sent.slice(-2)).toEqual([offer, offer]);
    await negotiation.receive(described("answer"));
    expect(peer.localDescription?.sdp).toBe("offer 1");
    await negotiation.receive(described("answer"));
    expect(negotiation.repeatOffer()).toBe(false);

    await negotiation.offer();
    await negotiation.receive(described("offer"));
    expect(negotiation.holdsOffer).toBe(false);
    await negotiation.receive(described("answer", "to an offer that is void"));
    expect(peer.remoteDescription?.sdp).toBe("offer");
    expect(types()).toEqual(["answer", "offer", "offer", "offer", "answer"]);
    expect(peer.rollbacks).toBe(0);
    expect(onFault).not.toHaveBeenCalled();
  });

  it.each([false, true])(
    "takes no answer to an earlier offer for one to a later",
    async (polite) => {
      const { peer, negotiation, sent, onFault } = side(polite);
      if (polite) await negotiation.receive(described("offer"));
      await negotiation.offer();
      // The partner gets it twice, and answers both.
      negotiation.repeatOffer();
      await negotiation.receive(described("answer", "to the first", 1));
      await negotiation.offer();
      await negotiation.receive(described("answer", "to its repetition", 1));
      expect(peer.remoteDescription?.sdp).toBe("to the first");
      expect(negotiation.repeatOffer(), "it still waits").toBe(true);

      await negotiation.receive(described("answer", "to the second", 2));
      expect(peer.remoteDescription?.sdp).toBe("to the second");
      expect(negotiation.repeatOffer()).toBe(false);
      const rounds = sent.map((signal) => (signal.kind === "description" ? signal.round : null));
      expect(rounds.filter((round) => round !== undefined)).toEqual([1, 1, 2, 2]);
      expect(onFault).not.toHaveBeenCalled();
    },
  );

  it("takes the answer of a partner that numbers none, and repeats the number of an offer", async () => {
    const offerer = side(false);
    await offerer.negotiation.offer();
    await offerer.negotiation.receive(described("answer"));
    expect(offerer.peer.signalingState).toBe("stable");

    const answerer = side(true);
    await answerer.negotiation.receive(described("offer", "theirs", 7));
    await answerer.negotiation.receive(described("offer", "theirs, again"));
    expect(answerer.sent).toEqual([described("answer", "answer", 7), described("answer")]);
  });

  it("makes no offer of what was there before the partner's", async () => {
    const { peer, negotiation, types } = side(true);
    await negotiation.receive(described("offer"));
    let created: () => void = () => undefined;
    const waits = new Promise<void>((resolve) => (created = resolve));
    vi.spyOn(peer, "createOffer").mockImplementation(async () => {
      await waits;
      return { type: "offer", sdp: "old" };
    });
    const offer = negotiation.offer();
    await negotiation.receive(described("offer"));
    created();
    await offer;
    expect(types()).toEqual(["answer", "answer"]);
    expect(negotiation.holdsOffer).toBe(false);
  });

  it("keeps candidates that come before their description, up to a limit", async () => {
    const { peer, negotiation } = side(true);
    for (let n = 0; n < 1_000; n += 1) void negotiation.receive(candidate(String(n)));
    await negotiation.receive(described("offer"));
    expect(peer.candidates).toHaveLength(100);
    await negotiation.receive(candidate("last"));
    expect(peer.candidates.at(-1)).toBe("last");
  });

  it("does not end over a candidate that is none", async () => {
    const { peer, negotiation, onFault } = side(true);
    await negotiation.receive(described("offer"));
    await negotiation.receive(candidate("garbage"));
    await negotiation.receive({ kind: "candidate", candidate: null });
    await negotiation.receive(candidate("good"));
    expect(peer.candidates).toEqual(["good"]);
    expect(onFault).not.toHaveBeenCalled();
  });

  it("reports a description that is none, and an answer to nothing is ignored", async () => {
    const { negotiation, onFault } = side(true);
    await negotiation.receive(described("answer", "garbage"));
    expect(onFault).not.toHaveBeenCalled();
    await negotiation.receive(described("offer", "garbage"));
    expect(onFault).toHaveBeenCalledTimes(1);
  });
});
