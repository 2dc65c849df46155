import { describe, expect, it } from "vitest";

import { IceServers } from "./ice-servers";

const turn = (credential: string): RTCIceServer[] => [
  { urls: ["turn:turn.example.org"], username: "1:u", credential },
];

describe("the servers of a guest's call", () => {
  it("are those of the call, if it has some", () => {
    const servers = new IceServers();
    servers.registered(turn("any"), 0);
    expect(servers.deadlineMs, "nobody needs fresh ones before a call").toBe(Infinity);
    servers.found(turn("call"), 3_600, 1_000);
    expect(servers.list).toEqual(turn("call"));
    expect(servers.deadlineMs).toBe(1_000 + 2_700_000);

    const older = new IceServers();
    older.registered(turn("any"), 0);
    older.found(null, null, 1_000);
    expect(older.list, "an older server names none").toEqual(turn("any"));
    expect(older.deadlineMs, "and says nothing of their lifetime").toBe(6_000);
  });

  it("are renewed at three quarters of their lifetime, again and again", () => {
    const servers = new IceServers();
    servers.found(turn("a"), 600, 0);
    let nowMs = 0;
    for (const credential of ["b", "c"]) {
      expect(servers.isDue(nowMs + 449_000)).toBe(false);
      nowMs += 450_000;
      expect(servers.isDue(nowMs)).toBe(true);
      expect(servers.isDue(nowMs + 9_000), "once").toBe(false);
      expect(servers.isDue(nowMs + 10_000), "no answer").toBe(true);
      servers.fresh(turn(credential), 600, nowMs);
      expect(servers.list).toEqual(turn(credential));
    }
    servers.fresh(turn("d"), 0, nowMs);
    expect(servers.deadlineMs, "a short lifetime floods nobody").toBe(nowMs + 5_000);
    servers.fresh(turn("e"), Number.MAX_VALUE, nowMs);
    expect(servers.deadlineMs).toBeLessThan(nowMs + 366 * 86_400_000);
  });

  it("are asked for again once the server is back", () => {
    const servers = new IceServers();
    servers.found(turn("call"), 3_600, 0);
    servers.lost();
    expect(servers.deadlineMs).toBe(Infinity);
    servers.registered(turn("any"), 60_000);
    expect(servers.deadlineMs, "those of a registration are short-lived").toBe(65_000);
    servers.ended();
    expect(servers.deadlineMs).toBe(Infinity);
  });

  it("don't expire without credentials", () => {
    const servers = new IceServers();
    servers.found([{ urls: ["stun:stun.example.org"] }], 60, 0);
    expect(servers.deadlineMs).toBe(Infinity);
  });
});
