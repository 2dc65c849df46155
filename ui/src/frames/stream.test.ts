import { describe, expect, it } from "vitest";

import { FakeSocket } from "../testing/frames";
import { backoffMs } from "./backoff";
import { FrameStream } from "./stream";

/** A stream whose sockets, timers and canvas are the test's. */
function make() {
  const sockets: FakeSocket[] = [];
  const drawn: (number | "cleared")[] = [];
  const timers: { work: () => void; ms: number; cancelled: boolean }[] = [];
  let refuse = false;
  let size = { width: 641.5, height: 361 };
  let tokens = 0;
  const stream = new FrameStream({
    stream: "remote",
    where: () =>
      refuse
        ? Promise.reject(new Error("closing"))
        : Promise.resolve({ url: "ws://127.0.0.1:1/frames", token: `a${++tokens}` }),
    sink: {
      draw: (frame) => drawn.push(frame.sequence),
      clear: () => drawn.push("cleared"),
    },
    size: () => size,
    open: (url, protocols) => {
      const socket = new FakeSocket(url, protocols);
      sockets.push(socket);
      return socket;
    },
    random: () => 1,
    later: (work, ms) => {
      const timer = { work, ms, cancelled: false };
      timers.push(timer);
      return () => (timer.cancelled = true);
    },
  });
  const settle = () => new Promise((done) => setTimeout(done, 0));
  const open = async () => {
    await settle();
    const socket = sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    socket.open();
    return socket;
  };
  return {
    stream,
    sockets,
    drawn,
    timers,
    settle,
    open,
    refuse: (it: boolean) => (refuse = it),
    resize: (it: typeof size) => (size = it),
  };
}

describe("the frame stream", () => {
  it("requests one frame at a time, each newer than the last, at even display size", async () => {
    const { stream, open, drawn, resize } = make();
    stream.start();
    const socket = await open();
    expect(socket.url).toBe("ws://127.0.0.1:1/frames");
    expect(socket.protocols).toEqual(["tandem-frames", "bearer.a1"]);
    expect(socket.binaryType).toBe("arraybuffer");
    expect(socket.sent).toEqual([{ stream: "remote", after: 0, maxWidth: 642, maxHeight: 360 }]);
    resize({ width: 100_000, height: 0 });
    socket.reply(5);
    expect(socket.sent).toHaveLength(2);
    expect(socket.sent[1]).toMatchObject({ after: 5, maxWidth: 4096, maxHeight: 2 });
    socket.reply(9);
    expect(drawn).toEqual([5, 9]);
    expect(socket.sent.map(({ after }) => after)).toEqual([0, 5, 9]);
  });

  it("clears the canvas when it stops, and ignores late replies", async () => {
    const { stream, open, drawn } = make();
    stream.start();
    const socket = await open();
    const late = socket.onmessage;
    socket.reply(1);
    stream.stop();
    expect(socket.closed).toBe(true);
    late?.({ data: new ArrayBuffer(0) });
    expect(drawn).toEqual([1, "cleared"]);
  });

  it("shows nothing of the last partner with the next one", async () => {
    const { stream, open, drawn, sockets } = make();
    stream.start();
    const first = await open();
    first.reply(400);
    const late = first.onmessage;
    stream.restart();
    const second = await open();
    late?.({ data: first });
    expect(sockets).toHaveLength(2);
    expect(second.sent[0]?.after).toBe(0);
    second.reply(1);
    expect(drawn).toEqual([400, "cleared", 1]);
  });

  it("opens no socket when it stopped while it waited for a token", async () => {
    const { stream, sockets, settle } = make();
    stream.start();
    stream.stop();
    await settle();
    expect(sockets).toHaveLength(0);
  });

  it("neither requests nor draws while the page is hidden", async () => {
    const { stream, open, drawn } = make();
    stream.start();
    const socket = await open();
    stream.setVisible(false);
    socket.reply(1);
    expect(drawn).toEqual([]);
    expect(socket.sent).toHaveLength(1);
    stream.setVisible(true);
    expect(socket.sent[1]?.after).toBe(1);
    socket.reply(2);
    expect(drawn).toEqual([2]);
  });

  it("waits for its one reply also when the page was hidden for a moment", async () => {
    const { stream, open } = make();
    stream.start();
    const socket = await open();
    stream.setVisible(false);
    stream.setVisible(true);
    expect(socket.sent).toHaveLength(1);
  });

  it("sends nothing on a socket that is still opening", async () => {
    const { stream, settle, sockets } = make();
    stream.start();
    await settle();
    stream.setVisible(false);
    stream.setVisible(true);
    expect(sockets[0]?.sent).toEqual([]);
    sockets[0]?.open();
    expect(sockets[0]?.sent).toHaveLength(1);
  });

  it("reconnects with a new token after growing waits, and resets the wait once a frame arrives", async () => {
    const { stream, open, sockets, timers, settle } = make();
    stream.start();
    await open();
    for (const ms of [100, 200, 400]) {
      sockets.at(-1)?.onclose?.();
      expect(timers.at(-1)?.ms).toBe(ms);
      timers.at(-1)?.work();
      await settle();
    }
    expect(sockets.map(({ protocols }) => protocols[1])).toEqual([
      "bearer.a1",
      "bearer.a2",
      "bearer.a3",
      "bearer.a4",
    ]);
    const socket = await open();
    socket.reply(1);
    socket.onclose?.();
    expect(timers.at(-1)?.ms).toBe(100);
  });

  it("retries when the app gives no token", async () => {
    const { stream, refuse, timers, sockets, settle, open, drawn } = make();
    refuse(true);
    stream.start();
    await settle();
    expect(timers).toHaveLength(1);
    refuse(false);
    timers[0]?.work();
    await settle();
    expect(sockets).toHaveLength(1);
    (await open()).reply(1);
    expect(drawn).toEqual([1]);
  });

  it("drops a connection that sends garbage", async () => {
    const { stream, open, drawn, timers } = make();
    stream.start();
    const socket = await open();
    socket.onmessage?.({ data: "not a frame" });
    expect(socket.closed).toBe(true);
    expect(drawn).toEqual([]);
    expect(timers).toHaveLength(1);
  });

  it("does not reconnect after it stopped", async () => {
    const { stream, open, timers, sockets, settle } = make();
    stream.start();
    const socket = await open();
    socket.onclose?.();
    stream.stop();
    expect(timers[0]?.cancelled).toBe(true);
    timers[0]?.work();
    await settle();
    expect(sockets).toHaveLength(1);
  });

  it("waits at most 5 s, and at least half of the full wait", () => {
    expect([1, 2, 3, 7, 60].map((failures) => backoffMs(failures, 1))).toEqual([
      100, 200, 400, 5000, 5000,
    ]);
    expect(backoffMs(3, 0)).toBe(200);
  });
});
