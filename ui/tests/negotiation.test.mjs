// The guest page's negotiation between two real connections in Chromium.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { chromium } from "playwright-core";

import { CHROMIUM } from "./harness.mjs";
import { openSources } from "./trust-modules.mjs";

let browser;
let source;
before(async () => {
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-features=WebRtcHideLocalIpsWithMdns",
      "--allow-loopback-in-peer-connection",
    ],
  });
  const vite = await openSources();
  source = (await vite.transformRequest("/src/guest/negotiation.ts")).code;
  await vite.close();
});
after(async () => browser?.close());

/**
 * Two sides of a call, of which the second is polite, until the polite side shows the first one's
 * video. Runs in the page.
 */
async function startCall(code) {
  const { Negotiation } = await import(
    URL.createObjectURL(new window.Blob([code], { type: "text/javascript" }))
  );
  const check = { verdict: null, offer: () => null, received: () => null, candidate: () => null };
  const sides = [false, true].map((polite) => ({
    polite,
    peer: new RTCPeerConnection(),
    sent: [],
  }));
  window.faults = 0;
  for (const side of sides) {
    side.negotiation = new Negotiation({
      peer: side.peer,
      polite: side.polite,
      send: (signal) => side.sent.push(structuredClone(signal)),
      onFirstOffer: async () => side.answer?.(),
      onFault: () => (window.faults += 1),
      check,
      onChecked: () => undefined,
    });
    side.peer.onnegotiationneeded = () => void side.negotiation.offer();
    side.peer.onicecandidate = ({ candidate }) =>
      side.sent.push({ kind: "candidate", candidate: candidate?.toJSON() ?? null });
  }
  /** Hands over what each side has sent, until neither has anything left. */
  window.deliver = async () => {
    for (let quiet = 0; quiet < 5;) {
      const signals = sides.map(({ sent }) => sent.splice(0));
      quiet = signals.flat().length === 0 ? quiet + 1 : 0;
      await Promise.all(
        signals.flatMap((all, index) =>
          all.map((signal) => sides[1 - index].negotiation.receive(signal)),
        ),
      );
      await new Promise((done) => setTimeout(done, 20));
    }
  };
  window.offersOf = (index) =>
    sides[index].sent.filter(({ description }) => description?.type === "offer").length;
  window.sides = sides;

  const video = document.createElement("video");
  Object.assign(video, { muted: true, autoplay: true, shown: 0 });
  document.body.append(video);
  const count = () => {
    video.shown += 1;
    video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback(count);
  sides[1].peer.ontrack = ({ track }) => (video.srcObject = new window.MediaStream([track]));
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  let frame = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${(frame += 10)} 60% 40%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 40);
  const stream = canvas.captureStream(25);
  sides[0].peer.addTrack(stream.getTracks()[0], stream);
  // As the guest page does, in the first answer.
  sides[1].answer = () => sides[1].peer.addTrack(stream.getTracks()[0], stream);
  await window.deliver();
  window.video = video;
}

/** More frames are shown. Runs in the page. */
async function showsFrames(page) {
  const before = await page.evaluate(() => window.video.shown);
  await page.waitForFunction((old) => window.video.shown > old + 20, before, { timeout: 10_000 });
}

/** The part of both sides' local descriptions that an ICE restart changes. Runs in the page. */
function credentials() {
  return window.sides.map(({ peer }) => /a=ice-ufrag:(\S+)/u.exec(peer.localDescription.sdp)[1]);
}

describe("a call", () => {
  for (const [name, restarts] of [
    ["whose polite side looks for another route", [1]],
    ["in which both look for another route at once", [0, 1]],
  ]) {
    test(`${name} goes on`, async () => {
      const page = await browser.newPage();
      try {
        await page.goto("about:blank");
        await page.evaluate(startCall, source);
        await showsFrames(page);

        const first = await page.evaluate(credentials);
        await page.evaluate((which) => {
          for (const index of which) window.sides[index].peer.restartIce();
        }, restarts);
        for (const index of restarts) {
          await page.waitForFunction((at) => window.offersOf(at) === 1, index);
        }
        await page.evaluate(() => window.deliver());
        const second = await page.evaluate(credentials);
        for (const index of [0, 1]) assert.notEqual(first[index], second[index], "ICE restarted");
        await showsFrames(page);
        assert.equal(await page.evaluate(() => window.faults), 0);
        const states = await page.evaluate(() =>
          window.sides.map(({ peer }) => [peer.signalingState, peer.connectionState].join()),
        );
        assert.deepEqual(states, ["stable,connected", "stable,connected"]);
      } finally {
        await page.close();
      }
    });
  }
});
