// The browser of a guest, operated line by line, for the whole-system tests.
//
//   node guest.mjs --browser chromium|firefox --cert FILE [--devices fake|denied|none] …
//
// `--cert` is the server's certificate, which the browser is to trust. Chromium only: `--camera FILE`
// is a video for its camera, `--host NAME=ADDRESS` connects to ADDRESS in place of NAME, and `--codec
// vp9` leaves it no other codec for video. Reads one JSON command per
// line, such as `{"do":"open","url":"https://localhost:9000/j/7#garden-lantern"}`, and prints one JSON
// answer for each: `{"ok":…}` or `{"error":"…"}`. A command is for the tab that its `tab` names; the
// first one is `main`.

import { createHash, X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { CHROMIUM, parse, print, sleep } from "./driver.mjs";

/** `TANDEM_FIREFOX`, or its path on Debian. */
const FIREFOX = process.env.TANDEM_FIREFOX ?? "/usr/bin/firefox-esr";

const options = parse(process.argv.slice(2), {
  browser: "chromium",
  cert: "",
  devices: "fake",
  camera: "",
  host: "",
  codec: "",
});

/** What Chromium calls a certificate that it trusts whoever signed it: the hash of its public key. */
function keyHash(file) {
  const { publicKey } = new X509Certificate(readFileSync(file));
  return createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
}

/** Keeps the page's peer connections for `received`; with a codec, they have no other for video. Runs in the page. */
function watchConnections(codec) {
  window.connections = [];
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...options) {
      super(...options);
      window.connections.push(this);
    }
    setLocalDescription(...description) {
      const videos = this.getTransceivers().filter((it) => it.receiver.track.kind === "video");
      if (codec !== "") {
        const { codecs } = RTCRtpReceiver.getCapabilities("video");
        const only = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
        for (const video of videos) video.setCodecPreferences(only);
      }
      return super.setLocalDescription(...description);
    }
  };
}

const profile = mkdtempSync(join(tmpdir(), "tandem-guest-"));

async function openChromium() {
  const { chromium } = await import("playwright-core");
  const devices = {
    fake: ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=fps=30"],
    denied: ["--use-fake-device-for-media-stream"],
    none: ["--use-fake-ui-for-media-stream"],
  };
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    viewport: { width: 1000, height: 760 },
    args: [
      ...devices[options.devices],
      ...(options.camera === "" ? [] : [`--use-file-for-fake-video-capture=${options.camera}`]),
      ...(options.host === "" ? [] : [`--host-resolver-rules=MAP ${options.host.replace("=", " ")}`]),
      // Only together with a profile of its own does Chromium take this.
      `--ignore-certificate-errors-spki-list=${keyHash(options.cert)}`,
      "--disable-features=WebRtcHideLocalIpsWithMdns",
      "--allow-loopback-in-peer-connection",
      "--disable-background-timer-throttling",
      "--disable-renderer-backgrounding",
      "--disable-backgrounding-occluded-windows",
      "--mute-audio",
      "--no-sandbox",
    ],
  });
  await context.addInitScript(watchConnections, options.codec);
  return {
    newPage: () => context.newPage(),
    size: (page, width, height) => page.setViewportSize({ width, height }),
    back: (page) => page.goBack(),
    close: () => context.close(),
  };
}

async function openFirefox() {
  const { default: puppeteer } = await import("puppeteer-core");
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    headless: true,
    acceptInsecureCerts: true,
    userDataDir: profile,
    extraPrefsFirefox: {
      "media.navigator.streams.fake": options.devices === "fake",
      "media.navigator.permission.disabled": options.devices !== "denied",
      // 2: refuse without a question.
      ...(options.devices === "denied" ? { "permissions.default.camera": 2, "permissions.default.microphone": 2 } : {}),
      // Both ends are on this machine.
      "media.peerconnection.ice.loopback": true,
      "media.peerconnection.ice.obfuscate_host_addresses": false,
      "media.autoplay.default": 0,
      // Nothing is fetched from elsewhere.
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
      "media.gmp-manager.updateEnabled": false,
      "dom.push.connection.enabled": false,
    },
  });
  return {
    newPage: async () => {
      const page = await browser.newPage();
      await page.evaluateOnNewDocument(watchConnections, "");
      return page;
    },
    size: (page, width, height) => page.setViewport({ width, height }),
    back: (page) => page.goBack(),
    close: () => browser.close(),
  };
}

const browser = await (options.browser === "firefox" ? openFirefox() : openChromium());

async function quit() {
  await browser.close();
  if (existsSync(profile)) rmSync(profile, { recursive: true, force: true });
  process.exit(0);
}
process.once("SIGTERM", () => void quit());

const tabs = new Map();

async function tabOf({ tab = "main" }) {
  if (!tabs.has(tab)) {
    const page = await browser.newPage();
    const problems = [];
    const requests = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("request", (request) => requests.push(request.url()));
    tabs.set(tab, { page, problems, requests });
  }
  return tabs.get(tab);
}

/** What the page shows. Runs in the page. */
function look() {
  const video = (id) => {
    const element = document.getElementById(id);
    if (!element) return null;
    // Counted from the first look on: Firefox has no other figure for a stream.
    if (element.shownFrames === undefined) {
      element.shownFrames = 0;
      const count = () => {
        element.shownFrames += 1;
        element.requestVideoFrameCallback(count);
      };
      element.requestVideoFrameCallback(count);
    }
    return {
      frames: element.shownFrames,
      width: element.videoWidth,
      height: element.videoHeight,
      live: "live" in element.dataset,
      paused: element.paused,
    };
  };
  const main = document.querySelector("main");
  return {
    screen: main?.dataset.screen ?? null,
    heading: document.querySelector("h1")?.textContent ?? null,
    focused: document.activeElement?.id || document.activeElement?.dataset?.action || null,
    text: main?.innerText ?? "",
    reason: document.getElementById("end-reason")?.dataset.reason ?? null,
    problems: [...document.querySelectorAll("[data-problem]")].map((it) => it.dataset.problem),
    badges: [...document.querySelectorAll("[data-badge]")].map((it) => it.dataset.badge),
    notes: [...document.querySelectorAll("[data-note]")].map((it) => it.dataset.note),
    remote: video("remote"),
    local: video("local"),
    overflows: document.documentElement.scrollWidth > innerWidth,
  };
}

/** Repeats `look` until `holds`. */
async function until(page, what, seconds, holds) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    // A page that is being loaded has nothing to look at yet.
    const seen = await page.evaluate(look).catch((error) => ({ error: String(error) }));
    if (holds(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s; ${JSON.stringify(seen)}`);
    await sleep(20);
  }
}

const selectorOf = ({ action, selector }) => selector ?? `[data-action="${action}"]`;

const COMMANDS = {
  /** Opens a page; answers with the milliseconds until it could be used. */
  async open({ page }, { url }) {
    const start = performance.now();
    await page.goto(url, { waitUntil: "commit" in page ? "commit" : "domcontentloaded" });
    await page.waitForSelector("main[data-screen], main.plain");
    return { ms: performance.now() - start };
  },
  /** Receives no video from now on, which the page offers to the other side. */
  async "refuse-video"({ page }) {
    await page.evaluate(() => {
      const transceivers = window.connections.flatMap((it) => it.getTransceivers());
      for (const it of transceivers) if (it.receiver.track.kind === "video") it.direction = "sendonly";
    });
  },
  async press({ page }, command) {
    const selector = selectorOf(command);
    await page.waitForSelector(selector);
    await page.click(selector);
  },
  async type({ page }, { selector, text }) {
    await page.focus(selector);
    await page.keyboard.type(text);
  },
  async choose({ page }, { selector, index }) {
    await page.evaluate(
      ([select, at]) => {
        const element = document.querySelector(select);
        element.selectedIndex = at;
        element.dispatchEvent(new Event("change", { bubbles: true }));
      },
      [selector, index],
    );
  },
  /** Waits for a screen, or for one of several: `in-call|ended`. */
  async screen({ page }, { name, seconds = 45 }) {
    return until(page, name, seconds, (seen) => name.split("|").includes(seen.screen));
  },
  async reason({ page }, { name, seconds = 45 }) {
    return until(page, name, seconds, (seen) => seen.reason === name);
  },
  async problem({ page }, { name, seconds = 45 }) {
    return until(page, name, seconds, (seen) => seen.problems?.includes(name));
  },
  async badge({ page }, { name, shown = true, seconds = 45 }) {
    return until(page, `${name} ${shown}`, seconds, (seen) => seen.badges?.includes(name) === shown);
  },
  async "note-shown"({ page }, { name, shown = true, seconds = 45 }) {
    return until(page, `${name} ${shown}`, seconds, (seen) => seen.notes?.includes(name) === shown);
  },
  async text({ page }, { text, seconds = 45 }) {
    return until(page, text, seconds, (seen) => seen.text?.includes(text));
  },
  /** Waits for `count` more frames of a video. */
  async frames({ page }, { video, count, seconds = 45 }) {
    const before = (await page.evaluate(look))[video]?.frames ?? 0;
    const enough = (seen) => (seen[video]?.frames ?? 0) >= before + count;
    return until(page, `${count} frames of ${video}`, seconds, enough);
  },
  /**
   * Notes when the next call's screen and its first frame appear, in the page's own time: `noted`
   * tells. The note itself costs a few microseconds for each change of the page.
   */
  async note({ page }) {
    await page.evaluate(() => {
      const notes = {};
      window.notes = notes;
      new MutationObserver(() => {
        if (document.querySelector("[data-screen=connecting], [data-screen=in-call]")) notes.letIn ??= performance.now();
        if (document.querySelector("#remote[data-live]")) notes.firstFrame ??= performance.now();
      }).observe(document.getElementById("app"), { subtree: true, childList: true, attributes: true });
    });
  },
  async noted({ page }) {
    return page.evaluate(() => window.notes);
  },
  /** Remembers from now on when the partner's frames are shown and its sound arrives: `gap` tells. */
  async watch({ page }) {
    await page.evaluate(() => {
      const times = { video: [], audio: [], badge: [] };
      window.times = times;
      const element = document.getElementById("remote");
      const shown = () => {
        times.video.push(Date.now());
        element.requestVideoFrameCallback(shown);
      };
      element.requestVideoFrameCallback(shown);
      let packets = 0;
      setInterval(async () => {
        let sum = 0;
        for (const connection of window.connections) {
          for (const it of (await connection.getStats()).values()) {
            if (it.type === "inbound-rtp" && it.kind === "audio") sum += it.packetsReceived;
          }
        }
        if (sum !== packets) times.audio.push(Date.now());
        packets = sum;
        if (document.querySelector("[data-badge=reconnecting]")) times.badge.push(Date.now());
      }, 50);
    });
  },
  /**
   * The longest times without a frame and without sound since `since` (ms since 1970), once both have
   * come for a second, and for how long the page showed that it is reconnecting; all in ms.
   */
  async gap({ page }, { since, seconds = 45 }) {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const times = await page.evaluate(() => window.times);
      const begin = Math.max(since, Date.now() - 1000);
      const runs = (it) => it.filter((at) => at > begin).length > 8;
      if (Date.now() > since + 2000 && runs(times.video) && runs(times.audio)) {
        const gap = (it) => {
          const from = Math.max(0, it.findIndex((at) => at >= since) - 1);
          return Math.max(...it.slice(from + 1).map((at, index) => at - it[from + index]));
        };
        const badge = times.badge.filter((at) => at >= since);
        const shown = badge.length === 0 ? 0 : badge.at(-1) - badge[0];
        return {
          video: gap(times.video),
          audio: gap(times.audio),
          badge: shown,
        };
      }
      if (Date.now() > deadline) {
        throw new Error(`no media for ${seconds} s; ${JSON.stringify(await page.evaluate(look))}`);
      }
      await sleep(100);
    }
  },
  async look({ page, problems, requests }) {
    return { ...(await page.evaluate(look)), errors: problems, requests };
  },
  async reload({ page }) {
    await page.reload();
    await page.waitForSelector("main[data-screen]");
  },
  async back({ page }) {
    await browser.back(page);
  },
  async close(tab, { tab: name = "main" }) {
    // As the user does: the page gets to know.
    await tab.page.close({ runBeforeUnload: false });
    tabs.delete(name);
  },
  async size({ page }, { width, height }) {
    await browser.size(page, width, height);
  },
  /** Waits until sound has arrived. Chromium only. */
  async sound({ page }, { seconds = 45 }) {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const energy = await page.evaluate(async () => {
        let sum = 0;
        for (const connection of window.connections) {
          for (const it of (await connection.getStats()).values()) {
            if (it.type === "inbound-rtp" && it.kind === "audio") sum += it.totalAudioEnergy;
          }
        }
        return sum;
      });
      if (energy > 0.001) return { energy };
      if (Date.now() > deadline) throw new Error(`no sound within ${seconds} s: its energy is ${energy}`);
      await sleep(50);
    }
  },
  /** Shows the page in the light or dark theme. Chromium only. */
  async theme({ page }, { theme }) {
    await page.emulateMedia({ colorScheme: theme });
  },
  /** Saves what is in the window as a PNG, with nothing focused, once nothing moves any more. */
  async screenshot({ page }, { path }) {
    await page.evaluate(async () => {
      document.activeElement?.blur();
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      const moves = document.getAnimations().filter((it) => it instanceof CSSTransition);
      await Promise.all(moves.map((it) => it.finished));
    });
    await page.screenshot({ path });
  },
  /** Ends the track of a device, as if it were unplugged. */
  async unplug({ page }) {
    await page.evaluate(() => {
      const [track] = document.getElementById("local").srcObject.getVideoTracks();
      track.stop();
      track.dispatchEvent(new Event("ended"));
    });
  },
  /** Shows `url` in a frame of the page at `from`; answers with what is in the frame then. */
  async framed({ page }, { url, from }) {
    await page.goto(from);
    await page.evaluate((src) => document.body.append(Object.assign(document.createElement("iframe"), { src })), url);
    const frame = page.frames().find((it) => it !== page.mainFrame());
    // Chromium shows an error of its own in place of a page that it may not show.
    const deadline = Date.now() + 30_000;
    while (["", "about:blank"].includes(frame.url())) {
      if (Date.now() > deadline) throw new Error("the frame shows nothing");
      await sleep(20);
    }
    return { url: frame.url() };
  },
};

async function answer(line) {
  try {
    const command = JSON.parse(line);
    const run = COMMANDS[command.do];
    if (!run) throw new Error(`no command ${command.do}`);
    print({ ok: (await run(await tabOf(command), command)) ?? null });
  } catch (error) {
    print({ error: error.message });
  }
}

print({ ok: "ready" });
for await (const line of createInterface({ input: process.stdin })) await answer(line);
await quit();
