import { describe, expect, it } from "vitest";

import runsText from "../../../tests/vectors/handshakes.json?raw";
import { type Code, CodeExchange } from "./code";
import type { Outcome, Role, Session } from "./exchange";
import { fingerprintIn } from "./fingerprint";
import { Handshake, type Step } from "./handshake";
import { fromPake, MAX_MESSAGE_BYTES } from "./message";
import { WordsExchange } from "./safety-words";
import { WORDS } from "./words";

type Method = ({ kind: "code" } & Code) | { kind: "words" };

/** One run between two sides in Rust: src-tauri/trust/tests/vectors.rs writes them. */
interface Run {
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

const CODE: Method = { kind: "code", room: "7", words: "garden-lantern" };
const METHODS: Method[] = [CODE, { kind: "words" }];

function start(method: Method, session: Session, random: Uint8Array): Handshake {
  const exchange =
    method.kind === "code"
      ? new CodeExchange(method, session, random)
      : new WordsExchange(session, random);
  return new Handshake(exchange, session);
}

function side(method: Method, role: Role, id = "9d2f6c1a"): Handshake {
  const local = role === "offerer" ? ALICE : BOB;
  return start(method, { id, role, local }, new Uint8Array(32).fill(local.charCodeAt(8)));
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
        start(method, { id, role, local: own.fingerprint }, bytes(own.random));
      const [alice, bob] = [one("offerer", offerer), one("answerer", answerer)];
      expect(alice.offer()).toEqual(moves[0]);

      const second = bob.handle({ kind: "offer", pake: moves[0], remote: offerer.fingerprint });
      expect(second.send).toEqual({ carrier: "answer", pake: moves[1] });
      const third = alice.handle({ kind: "answer", pake: moves[1], remote: answerer.fingerprint });
      expect(third.send).toEqual({ carrier: "candidate", pake: moves[2] });
      bob.handle({ kind: "candidate", pake: moves[2] });

      for (const [one, remote] of [
        [alice, answerer.fingerprint],
        [bob, offerer.fingerprint],
      ] as const) {
        const expected = words === null ? { kind: "verified" } : { kind: "words", words };
        expect(one.outcome).toEqual({ ...expected, remote });
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

  it("never ends well if any one character of a move was changed", () => {
    for (const method of METHODS) {
      for (const changed of [0, 1, 2]) {
        const characters = JSON.stringify(side(method, "offerer").offer()).length;
        for (let at = 1; at < characters; at += 7) {
          const damage = (move: number, value: unknown): unknown => {
            if (move !== changed) return value;
            const text = JSON.stringify(value);
            const other = text[at] === "x" ? "y" : "x";
            try {
              return JSON.parse(text.slice(0, at) + other + text.slice(at + 1));
            } catch {
              return "damaged";
            }
          };
          const outcomes = run(side(method, "offerer"), side(method, "answerer"), damage);
          const [alice, bob] = outcomes;
          const agree =
            alice?.kind === "words" && bob?.kind === "words" && alice.words === bob.words;
          const what = `${method.kind}, move ${changed}, character ${at}`;
          expect(outcomes.some((outcome) => outcome?.kind === "verified") || agree, what).toBe(
            false,
          );
        }
      }
    }
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
      const late = side(method, "answerer").handle({ kind: "timedOut" });
      expect([alice, bob, late].map((step) => step.outcome?.kind)).toEqual(Array(3).fill(expected));
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
  });

  it("does not start without randomness or a session", () => {
    for (const method of METHODS) {
      const session = { id: "x", role: "offerer" as const, local: ALICE };
      const random = new Uint8Array(32).fill(1);
      expect(() => start(method, session, new Uint8Array(32))).toThrow();
      expect(() => start(method, { ...session, id: "" }, random)).toThrow();
      expect(() => start(method, { ...session, id: "x".repeat(129) }, random)).toThrow();
    }
  });
});

describe("a move", () => {
  it("is refused unless all its fields are right", () => {
    const [short, long] = ["A".repeat(43), "A".repeat(86)];
    expect(fromPake({ method: "code", share: short, confirm: null, next: 1 })?.kind).toBe("share");
    expect(fromPake({ method: "code", share: short, confirm: long })?.kind).toBe("answer");

    for (const pake of [
      undefined,
      null,
      7,
      "code",
      [],
      {},
      { method: "code" },
      { method: "other", share: short },
      { method: "words", share: short },
      { method: "code", share: 7 },
      { method: "code", share: short.slice(1) },
      { method: "code", share: `${short}A` },
      { method: "code", share: `${short}=` },
      { method: "code", share: `${short.slice(1)}B` },
      { method: "code", share: `${short.slice(1)}+` },
      { method: "code", share: short, open: short },
      { method: "code", share: short, more: "x".repeat(MAX_MESSAGE_BYTES) },
    ]) {
      expect(fromPake(pake), JSON.stringify(pake)).toBeNull();
    }
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

describe("the words", () => {
  it("are 2,048, sorted", () => {
    expect(WORDS.length).toBe(2048);
    expect([...WORDS].sort()).toEqual(WORDS);
  });
});
