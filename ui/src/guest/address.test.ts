import { describe, expect, it } from "vitest";

import { type Address, appLink, inviteIn, socketUrl } from "./address";

function address(url: string): Address {
  const { protocol, host, hostname, pathname, hash } = new URL(url);
  return { protocol, host, hostname, pathname, hash };
}

const INVITE = { room: "7", words: "garden-lantern", token: null };

describe("the address of the page", () => {
  it("names a call", () => {
    const invite = (url: string) => inviteIn(address(url));
    expect(invite("https://chat.example.org/j/7#garden-lantern")).toEqual(INVITE);
    expect(invite("https://chat.example.org/j/999999999?utm=1#ab-cd")).toEqual({
      room: "999999999",
      words: "ab-cd",
      token: null,
    });
    expect(invite("https://chat.example.org/j/7#garden-lantern&guest=aZ0.9_-")).toEqual({
      ...INVITE,
      token: "aZ0.9_-",
    });
  });

  it("is incomplete if anything is missing or something else is there", () => {
    for (const rest of [
      "/",
      "/j/7",
      "/j/7#",
      "/j/7#garden",
      "/j/07#garden-lantern",
      "/j/0#garden-lantern",
      "/j/1000000000#garden-lantern",
      "/j/7/#garden-lantern",
      "/j/7#Garden-Lantern",
      "/j/7#garden-lantern-kayak",
      "/j/7#garden-%6Cantern",
      "/j/7#garden-lantern%0A",
      "/j/7#g\u{430}rden-lantern",
      "/j/7#javascript:alert(1)",
      "/j/7#garden-lantern&guest=",
      "/j/7#garden-lantern&guest=a b",
      "/j/7#garden-lantern&guest=a&guest=b",
      `/j/7#garden-lantern&guest=${"a".repeat(513)}`,
      `/j/7#garden-${"n".repeat(10_000)}`,
    ]) {
      expect(inviteIn(address(`https://chat.example.org${rest}`)), rest.slice(0, 60)).toBeNull();
    }
  });

  it("becomes a link that opens Tandem with the same server", () => {
    for (const [url, link] of [
      ["https://chat.example.org/j/7", "tandem://join/chat.example.org/7#garden-lantern"],
      ["https://chat.example.org:8443/j/7", "tandem://join/chat.example.org:8443/7#garden-lantern"],
      ["http://192.168.1.20:9000/j/7", "tandem://join/192.168.1.20:9000/7#garden-lantern"],
      ["http://[fd00::7]:9000/j/7", "tandem://join/[fd00::7]:9000/7#garden-lantern"],
      ["http://localhost/j/7", "tandem://join/localhost/7#garden-lantern"],
      ["http://nas.local/j/7", "tandem://join/nas.local/7#garden-lantern"],
    ] as const) {
      expect(appLink(address(url), INVITE), url).toBe(link);
    }
  });

  it("becomes no such link where Tandem would use another scheme or take it for a mistake", () => {
    for (const url of [
      "http://chat.example.org/j/7",
      "http://8.8.8.8:9000/j/7",
      "https://192.168.1.20/j/7",
      "http://nas/j/7",
      "http://[::ffff:192.168.1.20]/j/7",
    ]) {
      expect(appLink(address(url), INVITE), url).toBeNull();
    }
  });

  it("says where the WebSocket is", () => {
    expect(socketUrl(address("https://chat.example.org/j/7#a"))).toBe("wss://chat.example.org/ws");
    expect(socketUrl(address("http://127.0.0.1:9000/j/7"))).toBe("ws://127.0.0.1:9000/ws");
  });
});
