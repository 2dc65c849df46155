// The built guest page in Chromium, with a server that the test plays and a second page as the other
// person.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";

import { CHROMIUM } from "./harness.mjs";
import { loadTrust } from "./trust-modules.mjs";

const PAGES = join(import.meta.dirname, "../../signaling/src/server/guest_page");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream=device-count=2,fps=10",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  "--allow-loopback-in-peer-connection",
  "--mute-audio",
];

/** What the server sends: `guest_page/mod.rs`. */
function policy(html) {
  const source = (pattern) => {
    const text = pattern.exec(html)?.[1];
    if (text === undefined) return "'none'";
    return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  };
  return (
    `default-src 'none'; script-src ${source(/<script type="module">(.*?)<\/script>/su)}; ` +
    `style-src ${source(/<style>(.*?)<\/style>/su)}; img-src data:; connect-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  );
}

function serve() {
  const page = (name, settings) => {
    const html = readFileSync(join(PAGES, name), "utf8")
      .replace("%DOWNLOAD%", "https://example.org/tandem")
      .replace("%CALLS%", settings);
    return { html, headers: { "content-security-policy": policy(html) } };
  };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    if (pathname === "/favicon.ico") return response.writeHead(204).end();
    if (pathname === "/other") {
      response.writeHead(200, { "content-type": "text/html" });
      return response.end("<!doctype html><title>other</title>");
    }
    const name = pathname === "/" ? "home.html" : "guest.html";
    const { html, headers } = page(name, searchParams.has("off") ? "off" : "on");
    response.writeHead(200, { ...headers, "content-type": "text/html; charset=utf-8" });
    return response.end(html);
  });
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => {
      done({ address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() });
    });
  });
}

/** The other person: answers the offer with a moving picture. Runs in a page of its own. */
async function answerOffer({ offer, video }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: 320, height: 180 });
  const context = canvas.getContext("2d");
  let frame = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${(frame += 10)} 60% 40%)`;
    context.fillRect(0, 0, 320, 180);
  }, 50);
  const peer = new RTCPeerConnection();
  window.peer = peer;
  peer.ondatachannel = ({ channel }) => (window.channel = channel);
  await peer.setRemoteDescription(offer);
  const [track] = canvas.captureStream(20).getTracks();
  for (const transceiver of peer.getTransceivers()) {
    if (transceiver.receiver.track.kind !== "video") continue;
    if (!video) {
      transceiver.stop();
      continue;
    }
    transceiver.direction = "sendrecv";
    await transceiver.sender.replaceTrack(track);
  }
  await peer.setLocalDescription();
  // All candidates are in the answer.
  while (peer.iceGatheringState !== "complete") {
    await new Promise((done) =>
      peer.addEventListener("icegatheringstatechange", done, { once: true }),
    );
  }
  return peer.localDescription.toJSON();
}

export class GuestHarness {
  static async open() {
    const [site, trust, browser] = await Promise.all([
      serve(),
      loadTrust(),
      chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS }),
    ]);
    return Object.assign(new GuestHarness(), { site, trust, browser });
  }

  async close() {
    await this.browser.close();
    await this.trust.close();
    this.site.close();
  }

  /** The page at this address. `page.faults` collects errors and requests to other servers. */
  async page(path, { width = 1000, height = 760, textPx = 16, ...options } = {}) {
    const context = await this.browser.newContext({
      viewport: { width, height },
      reducedMotion: "reduce",
      ...options,
    });
    const page = await context.newPage();
    if (textPx !== 16) {
      const devtools = await context.newCDPSession(page);
      await devtools.send("Page.setFontSizes", { fontSizes: { standard: textPx, fixed: textPx } });
    }
    Object.assign(page, { faults: [], server: null, sent: [] });
    page.on("pageerror", (error) => page.faults.push(String(error)));
    page.on("console", (message) => message.type() === "error" && page.faults.push(message.text()));
    page.on("request", (request) => {
      const isOwn = [this.site.address, "data:"].some((start) => request.url().startsWith(start));
      if (!isOwn) page.faults.push(`requested ${request.url()}`);
    });
    await page.routeWebSocket(/\/ws$/u, (socket) => {
      page.server = socket;
      socket.onMessage((text) => page.sent.push(JSON.parse(text)));
      socket.send(
        JSON.stringify({
          type: "user_registered",
          resumeToken: "token",
          heartbeatMs: 25_000,
          silentMs: 60_000,
          iceServers: [],
        }),
      );
    });
    await page.goto(this.site.address + path);
    return page;
  }

  /** Sends the page a message of the server. */
  say(page, message) {
    page.server.send(JSON.stringify(message));
  }

  /** Waits for a message of this type from the page. */
  async hear(page, type) {
    for (let tries = 0; tries < 500; tries += 1) {
      const found = page.sent.find((message) => message.type === type);
      if (found) return found;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`no ${type}: ${JSON.stringify(page.sent)}`);
  }

  async knock(page) {
    await page.locator("[data-action=join]").click();
    await this.hear(page, "find_partner");
    this.say(page, { type: "searching", room: "7", ringing: true });
    await page.waitForSelector("[data-screen=knocking]");
  }

  /** Lets the guest in. */
  async letIn(page, name = "Amara") {
    this.say(page, {
      type: "partner_found",
      sessionId: "session",
      socketId: "partner",
      userName: name,
      userPicture: null,
      initiator: true,
    });
    await page.waitForSelector("[data-screen=connecting]");
  }

  /** The answer of someone with the same words, whose description this is. */
  answer(offer, description) {
    const { Handshake, CodeExchange, fingerprintIn } = this.trust;
    const session = { id: "session", role: "answerer", local: fingerprintIn(description.sdp) };
    const code = { room: "7", words: "garden-lantern", party: "inviter" };
    const exchange = new CodeExchange(code, session, new Uint8Array(randomBytes(32)));
    const { send } = new Handshake(exchange, session).handle({
      kind: "offer",
      pake: offer.pake,
      remote: fingerprintIn(offer.sdp),
    });
    return { ...description, pake: send.pake };
  }

  /**
   * Connects the guest with the other person, and returns that person's page. Without `video`, that
   * person has no format for it.
   */
  async connect(page, { video = true } = {}) {
    const { offer } = await this.hear(page, "webrtc_offer");
    const other = await page.context().newPage();
    await other.goto(`${this.site.address}/other`);
    const answer = this.answer(offer, await other.evaluate(answerOffer, { offer, video }));
    await page.bringToFront();
    this.say(page, { type: "webrtc_answer", answer, sessionId: "session", seq: 1 });
    await page.waitForSelector("[data-screen=in-call]");
    if (video) await page.waitForSelector("#remote[data-live]");
    return other;
  }
}
