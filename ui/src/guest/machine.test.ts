import { describe, expect, it } from "vitest";

import type { Effect, Input } from "./call-events";
import {
  ATTEMPT_MS,
  CODE_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  GONE_MS,
  LOST_MS,
  NOTICE_MS,
  PROBE_MS,
  SERVER_TIMEOUT_MS,
  SLOW_MS,
} from "./deadlines";
import { Machine } from "./machine";
import type { Found, Registered, ServerMessage } from "./protocol";

const REGISTERED: Registered = {
  type: "user_registered",
  resumeToken: "first",
  heartbeatMs: 25_000,
  silentMs: 60_000,
  iceServers: [{ urls: ["stun:stun.example.org:3478"] }],
};

const FOUND: Found = {
  type: "partner_found",
  sessionId: "session",
  socketId: "partner",
  userName: "Ben",
  userPicture: null,
  initiator: true,
  iceServers: null,
  iceServersTtl: null,
};

const OFFER = {
  kind: "description",
  description: { type: "offer", sdp: "v=0\r\n" },
} as const;

const signal = (seq: number, sessionId = "session"): ServerMessage => ({
  type: "signal",
  signal: OFFER,
  sessionId,
  seq,
});

/** A machine with a clock of its own, and what it has sent. */
function guest() {
  const machine = new Machine("7", () => 0.5);
  let nowMs = 1_000;
  const act = (input: Input) => machine.handle(input, nowMs);
  const receive = (...messages: ServerMessage[]) =>
    messages.flatMap((message) => act({ type: "received", message }));
  /** Runs all timers that are due within this time. */
  const wait = (ms: number) => {
    const until = nowMs + ms;
    const effects: Effect[] = [];
    while (machine.deadlineMs <= until) {
      nowMs = machine.deadlineMs;
      effects.push(...act({ type: "time" }));
    }
    nowMs = until;
    return effects;
  };
  return { machine, act, receive, wait, now: () => nowMs };
}

const sent = (effects: Effect[]) =>
  effects.flatMap((effect) => (effect.type === "send" ? [effect.message] : []));
const kinds = (effects: Effect[]) => effects.map(({ type }) => type);

/** In a call with Ben, whose server took this long to connect to. */
function inCall(connectMs = 0) {
  const it = guest();
  it.act({ type: "knock", name: "Ada" });
  it.wait(connectMs);
  it.receive(REGISTERED, { type: "searching", ringing: true }, FOUND);
  it.act({ type: "peer", state: "connected" });
  expect(it.machine.phase.kind).toBe("inCall");
  return it;
}

describe("a guest", () => {
  it("does nothing without a click", () => {
    const { machine, receive, wait } = guest();
    expect(receive(REGISTERED, FOUND)).toEqual([]);
    expect(wait(3_600_000)).toEqual([]);
    expect(machine.phase).toEqual({ kind: "start" });
  });

  it("knocks once it is registered", () => {
    const { machine, act, receive } = guest();
    expect(act({ type: "knock", name: "  Ada " })).toEqual([{ type: "connect" }]);
    expect(sent(receive(REGISTERED))).toEqual([
      { type: "find_partner", userName: "Ada", room: "7", mustExist: true, id: "knock" },
    ]);
    receive({ type: "searching", ringing: false });
    expect(machine.phase).toMatchObject({ kind: "knocking", ringing: false });
    receive({ type: "searching", ringing: true });
    expect(machine.phase).toMatchObject({ kind: "knocking", ringing: true });
  });

  it("uses the servers of its call, and asks for fresh ones in time", () => {
    const turn = (credential: string) => [{ urls: ["turn:turn"], username: "u", credential }];
    const { act, receive, wait } = guest();
    act({ type: "knock", name: "Ada" });
    const found = { ...FOUND, iceServers: turn("call"), iceServersTtl: 600 };
    const effects = receive({ ...REGISTERED, iceServers: turn("any") }, found);
    expect(effects.at(-1)).toMatchObject({ type: "startPeer", iceServers: turn("call") });
    act({ type: "peer", state: "connected" });

    const asks = { type: "get_ice_servers" };
    const heard = (message: ServerMessage) => receive(message);
    const quiet = (ms: number) => {
      const messages = [];
      // The server is heard all the time, or it would count as lost.
      for (let at = 0; at < ms; at += 10_000) {
        messages.push(...sent(wait(10_000)));
        heard({ type: "other" });
      }
      return messages;
    };
    expect(quiet(440_000)).not.toContainEqual(asks);
    expect(quiet(10_000)).toContainEqual(asks);
    expect(receive({ type: "ice_servers", iceServers: turn("fresh"), ttl: 600 })).toEqual([
      { type: "useServers", iceServers: turn("fresh") },
    ]);

    act({ type: "socketClosed" });
    wait(1_000);
    receive({ ...REGISTERED, iceServers: turn("any") }, { type: "resumed", sessionId: "session" });
    expect(sent(wait(5_000)), "those of a registration are short-lived").toContainEqual(asks);
    act({ type: "leave" });
    expect(sent(wait(3_600_000))).not.toContainEqual(asks);
  });

  it("gives no name that nobody can see", () => {
    const { act, receive } = guest();
    act({ type: "knock", name: " \u200B\u3164" });
    expect(sent(receive(REGISTERED))).toEqual([
      { type: "find_partner", room: "7", mustExist: true, id: "knock" },
    ]);
  });

  it("needs no name", () => {
    const { act, receive } = guest();
    act({ type: "knock", name: " " });
    expect(sent(receive(REGISTERED))).toEqual([
      { type: "find_partner", room: "7", mustExist: true, id: "knock" },
    ]);
  });

  it("is let in, and begins the call when media flows", () => {
    const { machine, act, receive, wait, now } = guest();
    act({ type: "knock", name: "Ada" });
    const effects = receive(REGISTERED, FOUND);
    expect(effects.at(-1)).toEqual({
      type: "startPeer",
      sessionId: "session",
      initiator: true,
      iceServers: REGISTERED.iceServers,
    });
    expect(machine.phase).toMatchObject({ kind: "connecting", partner: { name: "Ben" } });
    expect(sent(act({ type: "signal", signal: OFFER }))).toEqual([
      { type: "webrtc_offer", to: "partner", offer: OFFER.description },
    ]);
    act({ type: "verdict", verdict: "verified" });
    expect(kinds(wait(SLOW_MS))).toEqual([]);
    expect(machine.phase).toMatchObject({ kind: "connecting", slow: true });
    act({ type: "peer", state: "connected" });
    expect(machine.phase).toMatchObject({ kind: "inCall", connectedAtMs: now() });
  });

  it("passes on the moves of the check, beside descriptions and alone", () => {
    const { act } = inCall();
    const pake = { method: "code" };
    expect(sent(act({ type: "signal", signal: { ...OFFER, pake } }))).toEqual([
      { type: "webrtc_offer", to: "partner", offer: { ...OFFER.description, pake } },
    ]);
    expect(sent(act({ type: "signal", signal: { kind: "pake", pake } }))).toEqual([
      { type: "ice_candidate", to: "partner", candidate: { pake } },
    ]);
  });

  it("passes on the numbers of connections and offers", () => {
    const { act } = inCall();
    const numbers = { connection: 0, round: 1 };
    expect(sent(act({ type: "signal", signal: { ...OFFER, ...numbers } }))).toEqual([
      { type: "webrtc_offer", to: "partner", offer: { ...OFFER.description, ...numbers } },
    ]);
    const candidate = { candidate: "candidate:1" };
    const numbered = { kind: "candidate", candidate, connection: 2 } as const;
    expect(sent(act({ type: "signal", signal: numbered }))).toEqual([
      { type: "ice_candidate", to: "partner", candidate: { ...candidate, connection: 2 } },
    ]);
    const end = { kind: "candidate", candidate: null, connection: 2 } as const;
    expect(sent(act({ type: "signal", signal: end }))).toEqual([
      { type: "ice_candidate", to: "partner", candidate: null },
    ]);
  });

  it("repeats the last move of the check, which may be lost with the connection", () => {
    const { act, receive, wait } = inCall();
    const pake = { method: "code" };
    act({ type: "signal", signal: { kind: "pake", pake } });
    act({ type: "socketClosed" });
    wait(300);
    receive({ ...REGISTERED, resumeToken: "second" });
    const again = { type: "ice_candidate", to: "partner", candidate: { pake } };
    const resumed = (sessionId: string | null) => sent(receive({ type: "resumed", sessionId }));
    expect(resumed("session")).toContainEqual(again);

    act({ type: "socketClosed" });
    wait(600);
    receive({ ...REGISTERED, resumeToken: "third" });
    expect(resumed(null), "the call is gone").not.toContainEqual(again);
  });

  it("ends the call if the other side does not know the words, before or in it", () => {
    const connecting = guest();
    connecting.act({ type: "knock", name: "" });
    connecting.receive(REGISTERED, FOUND);
    for (const { act, machine } of [connecting, inCall()]) {
      const effects = act({ type: "verdict", verdict: "mismatch" });
      expect(sent(effects)[0]).toEqual({ type: "end_session", sessionId: "session" });
      expect(kinds(effects)).toContain("stopPeer");
      expect(machine.phase).toMatchObject({ kind: "ended", reason: "codeMismatch" });
      expect(machine.deadlineMs).toBe(Infinity);
      expect(act({ type: "verdict", verdict: "mismatch" })).toEqual([]);
    }
  });

  it("looks at the last move of a partner that has left before it says so", () => {
    for (const [verdict, reason] of [
      ["mismatch", "codeMismatch"],
      [null, "left"],
    ] as const) {
      const { act, receive, machine } = guest();
      act({ type: "knock", name: "" });
      receive(REGISTERED, FOUND);
      const left = { type: "partner_left", sessionId: "session", reason: "left" } as const;
      expect(kinds(receive(left))).toEqual(["finishCheck"]);
      expect(machine.phase).toMatchObject({ kind: "connecting" });
      if (verdict) act({ type: "verdict", verdict });
      act({ type: "checkFinished" });
      expect(machine.phase).toMatchObject({ kind: "ended", reason });
      expect(act({ type: "checkFinished" })).toEqual([]);
    }
  });

  it("does not wait long for the other side to show the words", () => {
    const { act, receive, wait } = guest();
    act({ type: "knock", name: "" });
    receive(REGISTERED, FOUND);
    expect(kinds(wait(CODE_TIMEOUT_MS - 1))).not.toContain("codeTimedOut");
    expect(kinds(wait(1))).toContain("codeTimedOut");
  });

  it("says why a link is used no more", () => {
    const { act, machine } = guest();
    expect(kinds(act({ type: "codeVoid" }))).toEqual([]);
    expect(machine.phase).toMatchObject({ kind: "ended", reason: "codeVoid" });

    const busy = inCall();
    busy.act({ type: "codeVoid" });
    expect(busy.machine.phase).toMatchObject({ kind: "inCall" });
  });

  it("sends answers and candidates to the partner, and nothing without one", () => {
    const it = inCall();
    const answer = { type: "answer", sdp: "v=0\r\n" } as const;
    const candidate = { candidate: "candidate:1", sdpMid: "0" };
    expect(
      sent(it.act({ type: "signal", signal: { kind: "description", description: answer } })),
    ).toEqual([{ type: "webrtc_answer", to: "partner", answer }]);
    for (const sentCandidate of [candidate, null]) {
      const input = { kind: "candidate", candidate: sentCandidate } as const;
      expect(sent(it.act({ type: "signal", signal: input }))).toEqual([
        { type: "ice_candidate", to: "partner", candidate: sentCandidate },
      ]);
    }
    it.act({ type: "leave" });
    expect(it.act({ type: "signal", signal: OFFER })).toEqual([]);
  });

  it.each([
    ["no_such_room", "unknownCode"],
    ["declined", "declined"],
    ["no_answer", "noAnswer"],
    ["queue_full", "busy"],
    ["rate_limited", "busy"],
    ["draining", "serverAway"],
    ["from_a_newer_server", "serverAway"],
    ["constructor", "serverAway"],
  ])("ends its knock with %s", (code, reason) => {
    const { machine, act, receive, wait } = guest();
    act({ type: "knock", name: "" });
    const effects = receive(REGISTERED, { type: "error", code, id: "knock" });
    expect(machine.phase).toMatchObject({ kind: "ended", reason, durationMs: null });
    expect(sent(effects).at(-1)).toEqual({ type: "bye" });
    expect(kinds(effects).at(-1)).toBe("disconnect");
    expect(wait(3_600_000)).toEqual([]);
  });

  it("is told that the server is private, or has banned it", () => {
    for (const [code, reason] of [
      ["unauthorized", "privateServer"],
      ["banned", "banned"],
    ] as const) {
      const { machine, act, receive } = guest();
      act({ type: "knock", name: "" });
      receive({ type: "error", code, id: null });
      expect(machine.phase).toMatchObject({ kind: "ended", reason });
    }
  });

  it("hears that the people who run the server have ended its call, and does not come back", () => {
    for (const [code, reason] of [
      [4005, "banned"],
      [4006, "kicked"],
    ] as const) {
      const { machine, act, wait } = inCall();
      expect(kinds(act({ type: "socketClosed", code }))).toContain("stopPeer");
      expect(machine.phase).toMatchObject({ kind: "ended", reason });
      expect(wait(60_000)).toEqual([]);
    }
  });

  it("does not end a call because the server turns it away on coming back", () => {
    for (const refusal of [
      { type: "received", message: { type: "error", code: "banned", id: null } },
      { type: "received", message: { type: "error", code: "unauthorized", id: null } },
      { type: "socketClosed", code: 4005 },
    ] as const) {
      const { machine, act, receive, wait } = inCall();
      act({ type: "verdict", verdict: "verified" });
      act({ type: "socketClosed" });
      expect(kinds(wait(1_000))).toEqual(["connect"]);
      act(refusal);
      expect(machine.phase, "media goes on").toMatchObject({ kind: "inCall", serverLost: true });
      expect(wait(600_000), "and the server is left alone").toEqual([]);

      // The address is another one there.
      expect(kinds(act({ type: "networkChanged" }))).toEqual(["connect"]);
      receive(REGISTERED, { type: "resumed", sessionId: "session" });
      expect(machine.phase).toMatchObject({ kind: "inCall", serverLost: false });
      act({ type: "socketClosed", code: 4005 });
      expect(machine.phase, "this one was meant").toMatchObject({ reason: "banned" });
    }
  });

  it("connects to its partner though the server turns it away on coming back", () => {
    const { machine, act, receive, wait } = guest();
    act({ type: "knock", name: "" });
    receive(REGISTERED, FOUND);
    act({ type: "socketClosed" });
    wait(1_000);
    receive({ type: "error", code: "banned", id: null });
    expect(machine.phase).toMatchObject({ kind: "connecting" });
    act({ type: "peer", state: "connected" });
    expect(machine.phase).toMatchObject({ kind: "inCall", serverLost: true });
    act({ type: "peer", state: "disconnected" });
    wait(GONE_MS);
    expect(machine.phase).toMatchObject({ kind: "ended", reason: "connectionLost" });
  });

  it("gives up on a server that can't be reached", () => {
    const { machine, act, wait } = guest();
    act({ type: "knock", name: "" });
    let attempts = 0;
    while (machine.phase.kind === "knocking" && attempts < 100) {
      act({ type: "socketClosed" });
      attempts += kinds(wait(7_000)).filter((kind) => kind === "connect").length;
    }
    expect(machine.phase).toMatchObject({ kind: "ended", reason: "serverAway" });
    expect(attempts).toBeGreaterThan(1);
    expect(act({ type: "time" })).toEqual([]);
  });

  it("does not wait for ever for a server that accepts and says nothing", () => {
    const { machine, act, wait } = guest();
    act({ type: "knock", name: "" });
    expect(kinds(wait(SERVER_TIMEOUT_MS))).toEqual(["send", "disconnect"]);
    expect(machine.phase).toMatchObject({ kind: "ended", reason: "serverAway" });
  });

  it("knocks again if the connection breaks while it waits", () => {
    const { machine, act, receive, wait } = guest();
    act({ type: "knock", name: "Ada" });
    receive(REGISTERED, { type: "searching", ringing: true });
    act({ type: "socketClosed" });
    expect(machine.phase).toMatchObject({ kind: "knocking", ringing: false });
    expect(kinds(wait(300))).toEqual(["connect"]);
    const [search] = sent(receive({ ...REGISTERED, resumeToken: "second" }));
    expect(search).toMatchObject({ type: "find_partner", room: "7" });
  });

  it("cancels its knock", () => {
    const { machine, act, receive, wait } = guest();
    act({ type: "knock", name: "" });
    receive(REGISTERED);
    expect(kinds(act({ type: "leave" }))).toEqual(["send", "disconnect"]);
    expect(machine.phase).toEqual({ kind: "start" });
    expect(wait(3_600_000)).toEqual([]);
  });

  it("hangs up: the partner, the server and the peer connection learn of it", () => {
    const it = inCall();
    it.wait(61_000);
    const effects = it.act({ type: "leave" });
    expect(sent(effects)).toEqual([{ type: "end_session", sessionId: "session" }, { type: "bye" }]);
    expect(kinds(effects)).toEqual(["send", "stopPeer", "send", "disconnect"]);
    expect(it.machine.phase).toEqual({
      kind: "ended",
      reason: "hungUp",
      partner: { name: "Ben", picture: null },
      durationMs: 61_000,
    });
    expect(it.act({ type: "leave" })).toEqual([]);
  });

  it("is told that the partner left", () => {
    const it = inCall();
    it.receive({ type: "partner_left", sessionId: "another", reason: "left" });
    expect(it.machine.phase.kind).toBe("inCall");
    it.receive({ type: "partner_left", sessionId: "session", reason: "left" });
    expect(it.machine.phase).toMatchObject({ kind: "ended", reason: "left" });
  });

  it("can knock again after a call, and starts from the beginning", () => {
    const it = inCall();
    it.receive(signal(1), signal(2));
    it.act({ type: "leave" });
    expect(it.act({ type: "knock", name: "Ada" })).toEqual([{ type: "connect" }]);
    it.receive(REGISTERED, FOUND);
    expect(kinds(it.receive(signal(1)))).toEqual(["signalPeer"]);
  });
});

describe("during a call", () => {
  it("shows what the partner has switched off", () => {
    const it = inCall();
    it.act({ type: "partnerState", muted: true, camera: false });
    expect(it.machine.phase).toMatchObject({ partnerMuted: true, partnerCameraOff: true });
  });

  it("keeps what the partner reported before the call began", () => {
    const it = guest();
    it.act({ type: "knock", name: "" });
    it.receive(REGISTERED, FOUND);
    it.act({ type: "partnerState", muted: true, camera: true });
    it.act({ type: "peer", state: "connected" });
    expect(it.machine.phase).toMatchObject({ partnerMuted: true, partnerCameraOff: false });
  });

  it("looks for another route when it has none", () => {
    const it = inCall();
    expect(kinds(it.act({ type: "peer", state: "disconnected" }))).toEqual([]);
    expect(kinds(it.act({ type: "peer", state: "failed" }))).toEqual(["restartPeer"]);
    expect(it.machine.phase).toMatchObject({ kind: "inCall", reconnecting: true });
  });

  it("connects to the server again when the network changes, and then looks for a route", () => {
    const it = inCall();
    expect(kinds(it.act({ type: "networkChanged" }))).toEqual(["disconnect", "connect"]);
    it.receive(REGISTERED);
    expect(kinds(it.receive({ type: "resumed", sessionId: "session" }))).toEqual(["restartPeer"]);
  });

  it("looks for another route if the partner is silent and the server answers", () => {
    const it = inCall();
    expect(kinds(it.act({ type: "route", news: "silent" }))).toEqual(["send"]);
    expect(kinds(it.receive({ type: "other" }))).toEqual(["restartPeer"]);
    expect(kinds(it.receive({ type: "other" })), "once").toEqual([]);

    it.act({ type: "route", news: "silent" });
    it.act({ type: "route", news: "heard" });
    expect(kinds(it.receive({ type: "other" })), "media is back").toEqual([]);
  });

  it("does not look for a route where the old one works again", () => {
    const it = inCall();
    it.act({ type: "route", news: "silent" });
    it.wait(PROBE_MS[0]);
    it.act({ type: "route", news: "heard" });
    it.receive(REGISTERED);
    expect(kinds(it.receive({ type: "resumed", sessionId: "session" }))).toEqual([]);
  });

  it("looks for a route once while a silence lasts, and repeats the offer", () => {
    const it = inCall();
    const restarts = () => {
      it.act({ type: "route", news: "silent" });
      return it.receive({ type: "other" });
    };
    expect(restarts()).toEqual([{ type: "restartPeer", again: false }]);
    expect(restarts()).toEqual([{ type: "restartPeer", again: true }]);
    it.act({ type: "route", news: "heard" });
    expect(restarts(), "another silence").toEqual([{ type: "restartPeer", again: false }]);
  });

  it("waits for a partner who is offline", () => {
    const it = inCall();
    it.receive({ type: "partner_reconnecting", sessionId: "session" });
    it.act({ type: "route", news: "silent" });
    expect(kinds(it.receive({ type: "other" }))).toEqual([]);
    it.receive({ type: "partner_resumed", sessionId: "session" });
    it.act({ type: "route", news: "silent" });
    expect(kinds(it.receive({ type: "other" }))).toEqual(["restartPeer"]);
  });

  it("gives a distant server as long to answer as it took to connect", () => {
    const it = inCall(3000);
    it.act({ type: "route", news: "silent" });
    expect(kinds(it.wait(PROBE_MS[1] - 1))).toEqual([]);
    expect(kinds(it.wait(1))).toEqual(["disconnect", "connect"]);
    // A next attempt gets longer.
    expect(kinds(it.wait(ATTEMPT_MS[0]))).toEqual(["disconnect"]);
    expect(kinds(it.wait(300))).toEqual(["connect"]);
    expect(kinds(it.wait(2 * ATTEMPT_MS[0] - 1))).toEqual([]);
    expect(kinds(it.wait(1))).toEqual(["disconnect"]);
  });

  it("shows a silence that lasts, also if the browser calls the connection connected", () => {
    const it = inCall();
    it.act({ type: "route", news: "silent" });
    it.act({ type: "route", news: "heard" });
    it.wait(NOTICE_MS);
    expect(it.machine.phase, "it was short").toMatchObject({ reconnecting: false });

    it.act({ type: "route", news: "silent" });
    it.receive({ type: "other" });
    it.wait(NOTICE_MS);
    expect(it.machine.phase).toMatchObject({ reconnecting: true });
    it.act({ type: "peer", state: "connected" });
    expect(it.machine.phase, "no media").toMatchObject({ reconnecting: true });
    it.act({ type: "route", news: "heard" });
    expect(it.machine.phase).toMatchObject({ reconnecting: false });
  });

  it("connects again if neither the partner nor the server answers", () => {
    const it = inCall();
    it.act({ type: "route", news: "silent" });
    expect(kinds(it.wait(PROBE_MS[0]))).toEqual(["disconnect", "connect"]);
    expect(kinds(it.wait(ATTEMPT_MS[0])), "the attempt leads nowhere").toEqual(["disconnect"]);
    expect(kinds(it.wait(7_000))).toContain("connect");
    it.receive(REGISTERED);
    expect(kinds(it.receive({ type: "resumed", sessionId: "session" }))).toEqual(["restartPeer"]);
  });

  it("looks for another route once the server is back", () => {
    const it = inCall();
    it.act({ type: "peer", state: "disconnected" });
    it.act({ type: "socketClosed" });
    expect(kinds(it.act({ type: "networkChanged" })), "at once").toEqual(["connect"]);
    it.receive(REGISTERED);
    expect(kinds(it.receive({ type: "resumed", sessionId: "session" }))).toEqual(["restartPeer"]);

    it.act({ type: "peer", state: "connected" });
    it.act({ type: "socketClosed" });
    it.wait(7_000);
    it.receive(REGISTERED);
    const resumed = it.receive({ type: "resumed", sessionId: "session" });
    expect(kinds(resumed), "media goes on").toEqual([]);
  });

  it("ends if the connection can't be used any more", () => {
    const it = inCall();
    it.act({ type: "peer", state: "broken" });
    expect(it.machine.phase).toMatchObject({ kind: "ended", reason: "connectionLost" });
  });

  it("waits less long for media while the server is away", () => {
    const it = inCall();
    it.act({ type: "peer", state: "disconnected" });
    it.wait(10_000);
    it.act({ type: "socketClosed" });
    it.wait(GONE_MS - 10_001);
    expect(it.machine.phase.kind).toBe("inCall");
    it.wait(1);
    expect(it.machine.phase).toMatchObject({ kind: "ended", reason: "connectionLost" });
  });

  it("survives a gap in the media, but not a long one", () => {
    const it = inCall();
    it.act({ type: "peer", state: "disconnected" });
    expect(it.machine.phase).toMatchObject({ reconnecting: true });
    const answered = (ms: number) => {
      for (let passed = 0; passed < ms; passed += 1_000) {
        it.wait(1_000);
        it.receive({ type: "other" });
      }
    };
    answered(LOST_MS - 1_000);
    it.act({ type: "peer", state: "connected" });
    expect(it.machine.phase).toMatchObject({ kind: "inCall", reconnecting: false });
    it.act({ type: "peer", state: "disconnected" });
    answered(LOST_MS);
    expect(it.machine.phase).toMatchObject({ kind: "ended", reason: "connectionLost" });
  });

  it("ends sooner if the server has dropped the call, too", () => {
    const it = inCall();
    it.receive({ type: "partner_left", sessionId: "session", reason: "disconnected" });
    expect(it.machine.phase).toMatchObject({ kind: "inCall", partnerServerLost: true });
    it.act({ type: "peer", state: "disconnected" });
    it.wait(GONE_MS);
    expect(it.machine.phase).toMatchObject({ kind: "ended", reason: "connectionLost" });
  });

  it("resumes at the server with the token of the broken connection", () => {
    const it = inCall();
    it.receive(signal(1), signal(2));
    it.act({ type: "socketClosed" });
    expect(it.machine.phase).toMatchObject({ kind: "inCall", serverLost: true });
    expect(kinds(it.wait(1_000))).toEqual(["connect"]);
    // The first attempt fails, too.
    it.act({ type: "socketClosed" });
    it.wait(7_000);
    expect(sent(it.receive({ ...REGISTERED, resumeToken: "second" }))).toEqual([
      { type: "resume", resumeToken: "first", lastSeq: 2, id: "resume" },
    ]);
    it.receive({ type: "resumed", sessionId: "session" });
    expect(it.machine.phase).toMatchObject({ serverLost: false, partnerServerLost: false });
    expect(it.receive(signal(2))).toEqual([]);
    expect(kinds(it.receive(signal(3)))).toEqual(["signalPeer"]);
  });

  it("goes on without the server if it can't resume", () => {
    const it = inCall();
    it.act({ type: "socketClosed" });
    it.wait(7_000);
    it.receive(REGISTERED, { type: "error", code: "unauthorized", id: "resume" });
    expect(it.machine.phase).toMatchObject({ kind: "inCall", serverLost: false });
  });

  it("notices a server that has fallen silent", () => {
    const it = inCall();
    const effects = it.wait(REGISTERED.silentMs);
    expect(sent(effects).filter(({ type }) => type === "ping")).toHaveLength(2);
    expect(it.machine.phase).toMatchObject({ kind: "inCall", serverLost: true });
    expect(kinds(effects)).toContain("disconnect");
  });

  it("stays connected to a server that answers its pings", () => {
    const it = inCall();
    for (let round = 0; round < 10; round += 1) {
      expect(sent(it.wait(REGISTERED.heartbeatMs)).map(({ type }) => type)).toEqual(["ping"]);
      it.receive({ type: "other" });
    }
    expect(it.machine.phase).toMatchObject({ serverLost: false });
  });

  it("shows that the partner has lost the server", () => {
    const it = inCall();
    it.receive({ type: "partner_reconnecting", sessionId: "session" });
    expect(it.machine.phase).toMatchObject({ partnerServerLost: true });
    it.receive({ type: "partner_resumed", sessionId: "session" });
    expect(it.machine.phase).toMatchObject({ partnerServerLost: false });
  });
});

describe("while connecting", () => {
  const connecting = () => {
    const it = guest();
    it.act({ type: "knock", name: "" });
    it.receive(REGISTERED, FOUND);
    return it;
  };

  it("fails if there is no route", () => {
    for (const fail of [
      (it: ReturnType<typeof guest>) => void it.act({ type: "peer", state: "failed" }),
      (it: ReturnType<typeof guest>) => void it.wait(CONNECT_TIMEOUT_MS),
    ]) {
      const it = connecting();
      // The server would close a silent connection; that is not what is tested here.
      fail(it);
      expect(it.machine.phase).toMatchObject({ kind: "ended", reason: "noRoute" });
    }
  });

  it("can be cancelled", () => {
    const it = connecting();
    expect(kinds(it.act({ type: "leave" }))).toContain("stopPeer");
    expect(it.machine.phase).toEqual({ kind: "start" });
  });
});
