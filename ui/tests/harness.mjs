// The built page in Debian's Chromium, with the window's content security policy.

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";

import { fitted, reply } from "./frames.mjs";
import { NOW } from "./states.mjs";

const DIST = join(import.meta.dirname, "../dist");
const CONFIG = join(import.meta.dirname, "../../src-tauri/tauri.conf.json");
export const CHROMIUM = process.env.TANDEM_CHROMIUM ?? "/usr/bin/chromium";

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-renderer-backgrounding",
  "--disable-background-timer-throttling",
];

/** The window's content security policy, as one header. */
export function policy() {
  const { csp } = JSON.parse(readFileSync(CONFIG, "utf8")).app.security;
  if (typeof csp === "string") return csp;
  return Object.entries(csp)
    .map(([name, value]) => `${name} ${[value].flat().join(" ")}`)
    .join("; ");
}

function serve() {
  const headers = { "content-security-policy": policy() };
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const file = join(DIST, path === "/" ? "index.html" : path);
    // Chromium requests it by itself; the window does not.
    if (path === "/favicon.ico") return response.writeHead(204).end();
    if (!file.startsWith(DIST) || !existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, {
      ...headers,
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    });
    return response.end(readFileSync(file));
  });
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => {
      done({ address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() });
    });
  });
}

export class Harness {
  static async open() {
    const [site, browser] = await Promise.all([
      serve(),
      chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS }),
    ]);
    return Object.assign(new Harness(), { site, browser });
  }

  async close() {
    await this.browser.close();
    this.site.close();
  }

  /**
   * A page that shows `state`. `page.faults` collects errors, violations of the policy and requests
   * to other servers; `page.requests` what the page sent to the frame socket.
   */
  async page(
    state,
    {
      width = 1280,
      height = 800,
      colorScheme = "light",
      reducedMotion = "reduce",
      forcedColors = "none",
      frames = true,
      /** The system's text size, in pixels. */
      textPx = 16,
    } = {},
  ) {
    const context = await this.browser.newContext({
      viewport: { width, height },
      colorScheme,
      reducedMotion,
      forcedColors,
    });
    const page = await context.newPage();
    if (textPx !== 16) {
      const devtools = await context.newCDPSession(page);
      await devtools.send("Page.setFontSizes", {
        fontSizes: { standard: textPx, fixed: textPx },
      });
    }
    Object.assign(page, { faults: [], requests: [], sockets: [] });
    page.on("pageerror", (error) => page.faults.push(String(error)));
    page.on("console", (message) => message.type() === "error" && page.faults.push(message.text()));
    // What is in the page itself, or a file that the user chose.
    const own = [this.site.address, "data:", `blob:${this.site.address}`];
    page.on("request", (request) => {
      if (!own.some((start) => request.url().startsWith(start))) {
        page.faults.push(`requested ${request.url()}`);
      }
    });
    await page.clock.setFixedTime(NOW);
    await page.routeWebSocket("ws://127.0.0.1:45678/**", (socket) => answer(page, socket, frames));
    await page.addInitScript(`window.__INITIAL_STATE__ = ${JSON.stringify(state)};`);
    await page.addInitScript({ path: join(import.meta.dirname, "tauri-mock.js") });
    await page.goto(this.site.address);
    await page.waitForSelector("main[data-screen]:not([data-screen=loading])");
    return page;
  }
}

/** Answers a socket's first two requests at once and none after, so that the page stands still. */
function answer(page, socket, frames) {
  page.sockets.push(socket);
  let sequence = 0;
  socket.onMessage((text) => {
    const request = JSON.parse(text);
    page.requests.push(request);
    if (!frames || sequence >= 2) return;
    sequence += 1;
    const [width, height] = fitted(request.maxWidth, request.maxHeight);
    socket.send(reply(request.stream, sequence, width, height));
  });
}
