// Opens Chromium on the page beside this file, with a camera and a microphone that are not there.

import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FILES = new Map([
  ["/", ["page.html", "text/html"]],
  ["/page.js", ["page.js", "text/javascript"]],
  ["/pattern.js", ["pattern.js", "text/javascript"]],
]);

/** Where Debian, Fedora and a caller's own choice put the browser. */
const CHROMIUM = process.env.TANDEM_CHROMIUM ?? "/usr/bin/chromium";

const FLAGS = [
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream=fps=30",
  "--autoplay-policy=no-user-gesture-required",
  // A page may offer addresses of this machine, loopback among them: both peers are on it.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  "--allow-loopback-in-peer-connection",
  // A page that nobody looks at runs at full speed all the same.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
  "--mute-audio",
  "--no-sandbox",
];

/** Serves the page on a port of the system's choice; gives its address. */
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

/** One browser with one page, its own process tree. */
export class Browser {
  static async open() {
    const site = await serve();
    const server = await chromium.launchServer({ executablePath: CHROMIUM, headless: true, args: FLAGS });
    const browser = await chromium.connect(server.wsEndpoint());
    const page = await browser.newPage();
    const problems = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(site.address);
    await page.waitForFunction(() => window.tandem);
    return Object.assign(new Browser(), { site, server, browser, page, problems });
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

  /** Waits until `condition` holds for a snapshot; fails with what is wrong when `seconds` are over. */
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

/** One event for the program that started this script: a line of JSON. */
export const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/** `--name value` pairs over their defaults. Numbers stay numbers. */
export function parse(words, defaults) {
  const options = { ...defaults };
  for (let index = 0; index < words.length; index += 2) {
    const name = words[index].replace(/^--/, "");
    if (!(name in defaults) || words[index + 1] === undefined) throw new Error(`unknown option or no value: ${words[index]}`);
    options[name] = typeof defaults[name] === "number" ? Number(words[index + 1]) : words[index + 1];
  }
  return options;
}
