// Opens page.html in Chromium or Firefox, with a fake camera and a fake microphone.

import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FILES = new Map([
  ["/", ["page.html", "text/html"]],
  ["/page.js", ["page.js", "text/javascript"]],
  ["/pattern.js", ["pattern.js", "text/javascript"]],
]);

/** The browser: `TANDEM_CHROMIUM`, or its path on Debian and Fedora. */
export const CHROMIUM = process.env.TANDEM_CHROMIUM ?? "/usr/bin/chromium";

const FLAGS = [
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream=fps=30",
  "--autoplay-policy=no-user-gesture-required",
  // Offer this machine's addresses as candidates, including loopback: both peers are on it.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  "--allow-loopback-in-peer-connection",
  // Run at full speed although the page is not visible.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
  "--mute-audio",
  "--no-sandbox",
];

/** Serves the page on a free port. Returns its address and how to close it. */
async function serve() {
  const server = createServer((request, response) => {
    const [file, type] = FILES.get(new URL(request.url, "http://localhost").pathname) ?? [];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": type });
    return createReadStream(join(import.meta.dirname, file)).pipe(response);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** `TANDEM_FIREFOX`, or its path on Debian. */
export const FIREFOX = process.env.TANDEM_FIREFOX ?? "/usr/bin/firefox-esr";

const FIREFOX_PREFERENCES = {
  // The test's own devices, allowed without a question.
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  // Offer this machine's addresses as candidates, including loopback.
  "media.peerconnection.ice.loopback": true,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.autoplay.default": 0,
  // Run at full speed although the page is not visible.
  "dom.min_background_timeout_value": 4,
  "media.suspend-background-video.enabled": false,
  // Nothing is fetched from elsewhere.
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "media.gmp-manager.updateEnabled": false,
  "dom.push.connection.enabled": false,
};

async function openChromium() {
  const server = await chromium.launchServer({ executablePath: CHROMIUM, headless: true, args: FLAGS });
  const browser = await chromium.connect(server.wsEndpoint());
  return { server, page: await browser.newPage() };
}

async function openFirefox() {
  const { default: puppeteer } = await import("puppeteer-core");
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: FIREFOX_PREFERENCES,
  });
  return { server: browser, page: await browser.newPage() };
}

/** A browser with one page, in a process tree of its own. */
export class Browser {
  static async open(kind = "chromium") {
    const site = await serve();
    const { server, page } = await (kind === "firefox" ? openFirefox() : openChromium());
    const problems = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(site.address);
    await page.waitForFunction(() => window.tandem);
    return Object.assign(new Browser(), { site, server, page, problems });
  }

  get pid() {
    return this.server.process().pid;
  }

  start(options) {
    return this.page.evaluate((it) => window.tandem.start(it), options);
  }

  async snapshot() {
    const snapshot = await this.page.evaluate(() => window.tandem.snapshot());
    snapshot.errors.push(...this.problems);
    return snapshot;
  }

  /** Waits until `condition` holds for a snapshot and returns it. Fails after `seconds`, with the last one. */
  async until(what, seconds, condition) {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const snapshot = await this.snapshot();
      if (condition(snapshot)) return snapshot;
      if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s; ${JSON.stringify(snapshot)}`);
      await sleep(50);
    }
  }

  async end() {
    await this.page.evaluate(() => window.tandem.end());
  }

  async close() {
    await this.server.close();
    this.site.close();
  }
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Prints an event as a line of JSON, for the program that started this script. */
export const print = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/**
 * Parses `--name value` pairs. `defaults` holds the known options; one with a numeric default is
 * parsed as a number.
 */
export function parse(words, defaults) {
  const options = { ...defaults };
  for (let index = 0; index < words.length; index += 2) {
    const name = words[index].replace(/^--/, "");
    if (!(name in defaults) || words[index + 1] === undefined) throw new Error(`unknown option or no value: ${words[index]}`);
    options[name] = typeof defaults[name] === "number" ? Number(words[index + 1]) : words[index + 1];
  }
  return options;
}
