import { describe, expect, it } from "vitest";

import runsText from "../../../tests/vectors/handshakes.json?raw";
import movesText from "../../../tests/vectors/moves.json?raw";
import { type Code, CodeExchange, type Party } from "./code";
import type { Outcome, Role, Session } from "./exchange";
import { fingerprintIn } from "./fingerprint";
import { Handshake, type Step } from "./handshake";
import { fromPake } from "./message";
import { WordsExchange } from "./safety-words";
import { WORDS } from "./words";

type Method = ({ kind: "code" } & Code) | { kind: "words" };

/** One run between two sides in Rust: src-tauri/trust/tests/vectors.rs writes them. */
interface Run {
  /** The offerer's. */
  method: Method;
  session: string;
  offerer: { fingerprint: string; random: string };
  answerer: { fingerprint: string; random: string };
  moves: Record<string, string>[];
  words: string | null;
}

const runs = JSON.parse(runsText) as Run[];

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../gu) ?? [], (pair) => Number.parseInt(pair, 16));
const fingerprint = (pair: string): string => `sha-256 ${Array(32).fill(pair).join(":")}`;
const [ALICE, BOB, MALLORY] = ["A1", "B2", "C3"].map(fingerprint) as [string, string, string];

const CODE: Method = { kind: "code", room: "7", words: "garden-lantern", party: "inviter" };
const METHODS: Method[] = [CODE, { kind: "words" }];

/** The answerer's method when the offerer has this one. */
function partners(method: Method): Method {
  if (method.kind === "words") return method;
  const party: Party = method.party === "inviter" ? "guest" : "inviter";
  return { ...method, party };
}

function start(method: Method, session: Session, random: Uint8Array): Handshake {
  const exchange =
    method.kind === "code"
      ? new CodeExchange(method, session, random)
      : new WordsExchange(session, random);
  return new Handshake(exchange, session);
}

/** A side; `method` is that of the offerer. */
function side(method: Method, role: Role, id = "9d2f6c1a"): Handshake {
  const local = role === "offerer" ? ALICE : BOB;
  const its = role === "offerer" ? method : partners(method);
  return start(its, { id, role, local }, new Uint8Array(32).fill(local.charCodeAt(8)));
}

/** The two sides after the moves that `change` may replace on their way. */
function run(
  alice: Handshake,
  bob: Handshake,
  change: (move: number, pake: unknown) => unknown = (_, pake) => pake,
  [toAlice, toBob] = [BOB, ALICE],
): (Outcome | null)[] {
  const offer = bob.handle({ kind: "offer", pake: change(0, alice.offer()), remote: toBob });
  const answer = { kind: "answer" as const, pake: change(1, offer.send?.pake), remote: toAlice };
  let send = alice.handle(answer).send;
  for (let to = bob, move = 2; send; to = to === bob ? alice : bob, move += 1) {
    send = to.handle({ kind: "candidate", pake: change(move, send.pake) }).send;
  }
  return [alice.outcome, bob.outcome];
}

const isMismatch = (outcome: Outcome | null): boolean => outcome?.kind === "mismatch";

describe("a handshake", () => {
  it("makes the moves that Rust makes, in both roles", () => {
    expect(runs.length).toBeGreaterThan(3);
    for (const { method, session: id, offerer, answerer, moves, words } of runs) {
      const one = (role: Role, own: Run["offerer"]): Handshake =>
        start(
          role === "offerer" ? method : partners(method),
          { id, role, local: own.fingerprint },
          bytes(own.random),
        );
      const [alice, bob] = [one("offerer", offerer), one("answerer", answerer)];
      expect(alice.offer()).toEqual(moves[0]);

      const second = bob.handle({ kind: "offer", pake: moves[0], remote: offerer.fingerprint });
      expect(second.send).toEqual({ carrier: "answer", pake: moves[1] });
      const third = alice.handle({ kind: "answer", pake: moves[1], remote: answerer.fingerprint });
      expect(third.send).toEqual({ carrier: "candidate", pake: moves[2] });
      bob.handle({ kind: "candidate", pake: moves[2] });

      for (const [one, local, remote] of [
        [alice, offerer.fingerprint, answerer.fingerprint],
        [bob, answerer.fingerprint, offerer.fingerprint],
      ] as const) {
        const expected = words === null ? { kind: "verified" } : { kind: "words", words };
        expect(one.outcome).toEqual({ ...expected, local, remote });
      }
    }
  });

  it("ends in a mismatch on both sides with another code, room, session or certificate", () => {
    const others: Method[] = [
      { ...CODE, words: "garden-kayak" },
      { ...CODE, room: "8" },
      { kind: "words" },
    ];
    for (const other of others) {
      const outcomes = run(side(CODE, "offerer"), side(other, "answerer"));
      expect(outcomes.every(isMismatch), JSON.stringify([other, outcomes])).toBe(true);
    }
    const outcomes = run(side(CODE, "offerer"), side(CODE, "answerer", "another"));
    expect(outcomes.every(isMismatch), "another session").toBe(true);

    const pairs: [string, string][] = [
      [MALLORY, MALLORY],
      [MALLORY, ALICE],
      [BOB, MALLORY],
    ];
    for (const seen of pairs) {
      const swapped = run(side(CODE, "offerer"), side(CODE, "answerer"), undefined, seen);
      expect(swapped.every(isMismatch), "another certificate").toBe(true);
    }
  });

  it("never ends well if any one character of any field was changed", () => {
    let count = 0;
    for (const method of METHODS) {
      const moves: Record<string, string>[] = [];
      run(side(method, "offerer"), side(method, "answerer"), (_, pake) => {
        moves.push(pake as Record<string, string>);
        return pake;
      });
      for (const [changed, pake] of moves.entries()) {
        for (const field of Object.keys(pake).filter((name) => name !== "method")) {
          const text = pake[field] ?? "";
          // Every fifth character, and the last one, of which some bits are not used.
          const places = Array.from({ length: Math.ceil(text.length / 5) }, (_, at) => at * 5);
          for (const at of [...places, text.length - 1]) {
            const other = text[at] === "A" ? "B" : "A";
            const damaged = { ...pake, [field]: text.slice(0, at) + other + text.slice(at + 1) };
            const outcomes = run(
              side(method, "offerer"),
              side(method, "answerer"),
              (move, value) => (move === changed ? damaged : value),
            );
            const [alice, bob] = outcomes;
            const differ =
              alice?.kind === "words" && bob?.kind === "words" && alice.words !== bob.words;
            const what = `${method.kind}, move ${changed}, ${field}, character ${at}`;
            expect(outcomes.every(isMismatch) || differ, what).toBe(true);
            count += 1;
          }
        }
      }
    }
    expect(count).toBeGreaterThan(80);
  });

  it("verifies an inviter and a guest only", () => {
    const [alice, bob] = [side(CODE, "offerer"), side(partners(CODE), "answerer")];
    expect(run(alice, bob).every(isMismatch), "two inviters").toBe(true);
    const guests = [side(partners(CODE), "offerer"), side(CODE, "answerer")] as const;
    expect(run(...guests).every(isMismatch), "two guests").toBe(true);
    const other = [side(partners(CODE), "offerer"), side(partners(CODE), "answerer")] as const;
    const kinds = run(...other).map((outcome) => outcome?.kind);
    expect(kinds, "a guest makes the offer").toEqual(["verified", "verified"]);
  });

  it("shows words that come after the deadline, and counts no code then", () => {
    const [alice, bob] = [side({ kind: "words" }, "offerer"), side({ kind: "words" }, "answerer")];
    const offer = { kind: "offer" as const, pake: alice.offer(), remote: ALICE };
    const answer = bob.handle(offer).send?.pake;
    for (const one of [alice, bob]) {
      expect(one.handle({ kind: "timedOut" }).outcome).toEqual({ kind: "unavailable" });
      expect(one.handle({ kind: "timedOut" }).outcome, "said once").toBeNull();
    }
    const third = alice.handle({ kind: "answer", pake: answer, remote: BOB }).send?.pake;
    bob.handle({ kind: "candidate", pake: third });
    expect([alice.outcome?.kind, bob.outcome?.kind]).toEqual(["words", "words"]);

    const late = side(CODE, "answerer");
    late.handle({ kind: "offer", pake: side(CODE, "offerer").offer(), remote: ALICE });
    expect(late.handle({ kind: "timedOut" }).outcome?.kind).toBe("mismatch");
    expect(late.handle({ kind: "candidate", pake: third })).toEqual({ send: null, outcome: null });
  });

  it("answers an offer that comes again with the same move", () => {
    for (const method of METHODS) {
      const [alice, bob] = [side(method, "offerer"), side(method, "answerer")];
      const offer = { kind: "offer" as const, pake: alice.offer(), remote: ALICE };
      const first = bob.handle(offer);
      expect(bob.handle(offer)).toEqual(first);
    }
  });

  it("leaves a partner without words alone", () => {
    const bob = side({ kind: "words" }, "answerer");
    const step = bob.handle({ kind: "offer", pake: undefined, remote: null });
    expect(step).toEqual({ send: null, outcome: { kind: "unavailable" } });
    for (const remote of [ALICE, BOB, null]) {
      const later = bob.handle({ kind: "offer", pake: undefined, remote });
      expect(later).toEqual({ send: null, outcome: null });
    }
  });

  it("takes another version's method for none, and not by code", () => {
    const pake = { method: "words 2", commit: "x" };
    const words = side({ kind: "words" }, "answerer");
    const step = words.handle({ kind: "offer", pake, remote: ALICE });
    expect(step).toEqual({ send: null, outcome: { kind: "unavailable" } });
    expect(words.handle({ kind: "candidate", pake })).toEqual({ send: null, outcome: null });
    const code = side(CODE, "answerer").handle({ kind: "offer", pake, remote: ALICE });
    expect(code.outcome?.kind).toBe("mismatch");
  });

  it("is mandatory by code, and without it there are no words", () => {
    for (const method of METHODS) {
      const expected = method.kind === "code" ? "mismatch" : "unavailable";
      const bob = side(method, "answerer").handle({ kind: "offer", pake: null, remote: ALICE });
      const alice = side(method, "offerer").handle({
        kind: "answer",
        pake: undefined,
        remote: BOB,
      });
      expect([alice, bob].map((step) => step.outcome?.kind)).toEqual([expected, expected]);
      const waiting = side(method, "answerer").handle({ kind: "timedOut" });
      const away = method.kind === "code" ? undefined : "unavailable";
      expect(waiting.outcome?.kind, "it may be away").toBe(away);
      expect(bob.send?.carrier).toBe(method.kind === "code" ? "answer" : undefined);
      expect(alice.send?.carrier).toBe(method.kind === "code" ? "candidate" : undefined);
    }
  });

  it("refuses its own moves and its own certificate", () => {
    const alice = side(CODE, "offerer");
    const own = alice.handle({ kind: "answer", pake: alice.offer(), remote: ALICE });
    expect(own.outcome).toEqual({ kind: "mismatch", reason: "reflected" });

    const reflected = run(side(CODE, "offerer"), side(CODE, "answerer"), (move, pake) =>
      move === 1 ? { ...(pake as object), share: side(CODE, "offerer").offer().share } : pake,
    );
    expect(reflected[0]).toEqual({ kind: "mismatch", reason: "reflected" });
    expect(reflected.every(isMismatch)).toBe(true);
  });

  it("ends when a later description names another certificate, and not before", () => {
    const nothing: Step = { send: null, outcome: null };
    for (const method of METHODS) {
      const [alice, bob] = [side(method, "offerer"), side(method, "answerer")];
      run(alice, bob);
      for (const [one, partner] of [
        [alice, BOB],
        [bob, ALICE],
      ] as const) {
        const before = one.outcome;
        expect(one.handle({ kind: "offer", pake: undefined, remote: partner })).toEqual(nothing);
        expect(one.handle({ kind: "timedOut" })).toEqual(nothing);
        expect(one.outcome).toBe(before);

        const other = one.handle({ kind: "answer", pake: undefined, remote: MALLORY });
        expect(other.outcome).toEqual({ kind: "mismatch", reason: "fingerprintChanged" });
        expect(one.handle({ kind: "timedOut" })).toEqual(nothing);
      }
    }
  });

  it("counts what the partner could try", () => {
    const [alice, bob] = [side(CODE, "offerer"), side({ ...CODE, words: "a-b" }, "answerer")];
    expect([alice.spentAGuess, bob.spentAGuess]).toEqual([false, false]);
    run(alice, bob);
    expect([alice.spentAGuess, bob.spentAGuess]).toEqual([true, true]);

    const honest = [side(CODE, "offerer"), side(CODE, "answerer")] as const;
    run(...honest);
    expect(honest.map((one) => one.spentAGuess)).toEqual([false, false]);
    // The partner knew the code, whatever comes after that.
    for (const one of honest) one.handle({ kind: "offer", pake: undefined, remote: MALLORY });
    expect(honest.map((one) => one.outcome?.kind)).toEqual(["mismatch", "mismatch"]);
    expect(honest.map((one) => one.spentAGuess)).toEqual([false, false]);
  });

  it("does not start without randomness or a session", () => {
    for (const method of METHODS) {
      const session = { id: "x", role: "offerer" as const, local: ALICE };
      const random = new Uint8Array(32).fill(1);
      expect(() => start(method, session, new Uint8Array(32))).toThrow();
      for (const length of [0, 16, 31, 33]) {
        expect(() => start(method, session, new Uint8Array(length).fill(1))).toThrow();
      }
      expect(() => start(method, { ...session, local: "sha-256 A1" }, random)).toThrow();
      expect(() => start(method, { ...session, id: "" }, random)).toThrow();
      expect(() => start(method, { ...session, id: "x".repeat(129) }, random)).toThrow();
    }
  });
});

describe("a move", () => {
  interface Moves {
    read: string[];
    unknownMethod: string[];
    malformed: string[];
  }
  const { read, unknownMethod, malformed } = JSON.parse(movesText) as Moves;

  it("is read as Rust reads it", () => {
    for (const json of read) expect(fromPake(JSON.parse(json)), json).toBeTypeOf("object");
    for (const json of unknownMethod)
      expect(fromPake(JSON.parse(json)), json).toBe("unknownMethod");
    for (const json of malformed) expect(fromPake(JSON.parse(json)), json).toBe("malformed");
    expect(fromPake(undefined)).toBe("malformed");
  });

  it("may carry anything in fields that nobody knows", () => {
    const share = "A".repeat(43);
    const deep = JSON.parse("[".repeat(50_000) + "]".repeat(50_000)) as unknown;
    for (const x of [deep, "x".repeat(100_000)]) {
      expect(fromPake({ method: "code", share, x })).toMatchObject({ kind: "share" });
    }
    expect(fromPake({ method: deep, share })).toBe("malformed");
    expect(fromPake({ method: "code", share: deep })).toBe("malformed");
  });
});

describe("the certificate of a description", () => {
  const line = (value: string): string => `a=fingerprint:${value}`;

  it("is named by one fingerprint, however often", () => {
    const sdp = `v=0\r\n${line(ALICE)}\r\nm=video 9 X\r\n${line(ALICE.toLowerCase())}\r\n`;
    expect(fingerprintIn(sdp)).toBe(ALICE);
  });

  it("is unknown if the description could be read in two ways", () => {
    for (const sdp of [
      "",
      "v=0\r\n",
      `${line(ALICE)}\r\n${line(BOB)}`,
      `${line(ALICE)}\r${line(BOB)}`,
      `${line(ALICE)}\n${line(BOB.replace("sha-256", "sha-512"))}`,
      `${line(ALICE)}\n ${line(BOB)}`,
      line(ALICE.replace("s", "\u017F")),
      `${line(ALICE)}\na=Fingerprint:${BOB}`,
      line(` ${ALICE}`),
      line(`${ALICE} `),
      line(ALICE.slice(0, -3)),
      line(`${ALICE}:A1`),
      line(ALICE.replace("A1", "+1")),
    ]) {
      expect(fingerprintIn(sdp), sdp).toBeNull();
    }
  });
});

describe("a certificate", () => {
  it("is the same in upper and lower case", () => {
    const session = { id: "x", role: "answerer" as const, local: BOB.toLowerCase() };
    const bob = start(partners(CODE), session, new Uint8Array(32).fill(9));
    const alice = side(CODE, "offerer", "x");
    const kinds = run(alice, bob, undefined, [BOB.toUpperCase(), ALICE.toLowerCase()]);
    expect(kinds.map((outcome) => outcome?.kind)).toEqual(["verified", "verified"]);
    const restart = { kind: "offer" as const, pake: undefined, remote: BOB };
    expect(alice.handle(restart).outcome, "the same one again").toBeNull();

    const unreadable = side(CODE, "answerer").handle({ kind: "offer", pake: null, remote: "x" });
    expect(unreadable.outcome).toEqual({ kind: "mismatch", reason: "noFingerprint" });
  });
});

describe("the words", () => {
  it("are 2,048, sorted", () => {
    expect(WORDS.length).toBe(2048);
    expect([...WORDS].sort()).toEqual(WORDS);
  });
});
