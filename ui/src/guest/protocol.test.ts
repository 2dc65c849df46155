import { describe, expect, it } from "vitest";

import { parseMessage } from "./protocol";
import { parseState, stateMessage } from "./state-channel";
import { obstacle } from "./support";

const parse = (value: unknown) => parseMessage(JSON.stringify(value));

describe("a message from the server", () => {
  it("reads the moves of the check, beside a description and alone", () => {
    const pake = { method: "code", share: "x" };
    const offer = { type: "offer", sdp: "v=0\r\n", pake };
    const beside = parseMessage(JSON.stringify({ type: "webrtc_offer", seq: 1, offer }));
    expect(beside).toMatchObject({ signal: { kind: "description", pake } });
    for (const candidate of [{ pake }, { pake, candidate: "candidate:1" }]) {
      const alone = parseMessage(JSON.stringify({ type: "ice_candidate", seq: 1, candidate }));
      expect(alone).toMatchObject({ signal: { kind: "pake", pake } });
    }
    const none = { type: "ice_candidate", candidate: { pake: null, candidate: "candidate:1" } };
    expect(parseMessage(JSON.stringify(none))).toMatchObject({ signal: { kind: "candidate" } });
  });

  it("reads the number of a connection, and takes nothing else for one", () => {
    const offer = (connection: unknown) => {
      const described = { type: "offer", sdp: "v=0\r\n", connection, round: connection };
      return parse({ type: "webrtc_offer", seq: 1, offer: described });
    };
    expect(offer(3)).toMatchObject({ signal: { kind: "description", connection: 3, round: 3 } });
    const candidate = { candidate: "candidate:1", connection: 2 };
    const message = parse({ type: "ice_candidate", seq: 1, candidate });
    expect(message).toMatchObject({ signal: { kind: "candidate", connection: 2 } });
    for (const value of [null, -1, 1.5, "1", 2 ** 32, [], {}])
      for (const name of ["connection", "round"])
        expect(offer(value)).not.toHaveProperty(`signal.${name}`);
  });

  it("is read as the protocol describes it", () => {
    expect(
      parse({
        type: "partner_found",
        partnerId: "c1a5",
        sessionId: "9d2f",
        socketId: "5f0c",
        userName: "Ben",
        userAge: null,
        userPicture: null,
        initiator: true,
      }),
    ).toEqual({
      type: "partner_found",
      sessionId: "9d2f",
      socketId: "5f0c",
      userName: "Ben",
      userPicture: null,
      initiator: true,
      iceServers: null,
      iceServersTtl: null,
    });
    expect(parse({ type: "searching", room: "7", ringing: true })).toEqual({
      type: "searching",
      ringing: true,
    });
    expect(
      parse({
        type: "ice_candidate",
        candidate: { candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0, other: {} },
        from: "5f0c",
        sessionId: "9d2f",
        seq: 3,
      }),
    ).toEqual({
      type: "signal",
      signal: {
        kind: "candidate",
        candidate: { candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0 },
      },
      sessionId: "9d2f",
      seq: 3,
    });
  });

  it("names ICE servers that the browser takes", () => {
    const message = parse({
      type: "user_registered",
      resumeToken: "3f9a",
      heartbeatMs: 25_000,
      silentMs: 60_000,
      iceServers: [
        { urls: "stun:a" },
        { urls: ["turn:b"], username: "u", credential: "c" },
        { urls: [7] },
        null,
        "stun:c",
      ],
    });
    expect(message).toMatchObject({
      iceServers: [{ urls: ["stun:a"] }, { urls: ["turn:b"], username: "u", credential: "c" }],
    });
  });

  it("names the servers of a call, and fresh ones", () => {
    const iceServers = [{ urls: "turn:b", username: "u", credential: "c" }];
    const read = [{ urls: ["turn:b"], username: "u", credential: "c" }];
    expect(parse({ type: "partner_found", iceServers, iceServersTtl: 3600 })).toMatchObject({
      iceServers: read,
      iceServersTtl: 3600,
    });
    expect(parse({ type: "ice_servers", iceServers, ttl: 3600 })).toEqual({
      type: "ice_servers",
      iceServers: read,
      ttl: 3600,
    });
  });

  it("can be anything", () => {
    for (const data of [
      "",
      "{",
      "[]",
      "null",
      "7",
      '{"type":"from_a_newer_server"}',
      '{"type":["error"]}',
      new ArrayBuffer(4),
      undefined,
    ]) {
      expect(parseMessage(data)).toEqual({ type: "other" });
    }
    expect(parse({ type: "user_registered", iceServers: 7 })).toMatchObject({ iceServers: [] });
    expect(parse({ type: "webrtc_offer", offer: "v=0", seq: 1 })).toMatchObject({
      signal: { kind: "candidate", candidate: null },
    });
  });
});

describe("a message on the data channel", () => {
  it("says what the partner has switched off", () => {
    const state = { muted: true, camera: false };
    expect(parseState(stateMessage(state))).toEqual(state);
    expect(parseState('{"type":"state","muted":false,"camera":true,"more":1}')).toEqual({
      muted: false,
      camera: true,
    });
  });

  it("can be anything", () => {
    for (const data of [
      "",
      "null",
      "{}",
      '{"type":"meet_again","share":"00"}',
      '{"type":"state","muted":1,"camera":true}',
      `{"type":"state","muted":true,"camera":true,"more":"${"x".repeat(1024)}"}`,
      new ArrayBuffer(4),
    ]) {
      expect(parseState(data)).toBeNull();
    }
  });
});

describe("a browser", () => {
  const able = { isSecureContext: true, mediaDevices: {}, RTCPeerConnection: {}, WebSocket: {} };

  it("can call if it has everything, and the page is encrypted", () => {
    expect(obstacle(able)).toBeNull();
    expect(obstacle({ ...able, RTCPeerConnection: undefined })).toBe("tooOld");
    expect(obstacle({ ...able, mediaDevices: undefined })).toBe("tooOld");
    expect(obstacle({ ...able, isSecureContext: false, mediaDevices: undefined })).toBe("insecure");
  });
});
