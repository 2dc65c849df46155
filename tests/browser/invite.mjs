// What people see who open the link to an invite, for the whole-system tests.
//
//   node invite.mjs PORT URL…
//
// Every host of the URLs is the server that listens on PORT of this machine. For each URL, prints a
// line of JSON with what the page shows at the width of a phone, what its button asks the system to
// open, and what went wrong. `URL@without-script` opens the page without JavaScript.

import { chromium } from "playwright-core";

import { CHROMIUM, print, sleep } from "./driver.mjs";

const WITHOUT_SCRIPT = "@without-script";
/** How long the page may take to react to a click, in milliseconds, on a busy machine too. */
const TIMEOUT = 10_000;

/** Clicks the button and returns what the page then asks to open. */
async function click(page) {
  const opened = [];
  const session = await page.context().newCDPSession(page);
  await session.send("Page.enable");
  session.on("Page.frameRequestedNavigation", ({ url }) => opened.push(url));
  await page.click("#open");

  const deadline = Date.now() + TIMEOUT;
  while (opened.length === 0 && Date.now() < deadline) await sleep(20);
  return opened;
}

async function visit(browser, argument) {
  const javaScriptEnabled = !argument.endsWith(WITHOUT_SCRIPT);
  const url = javaScriptEnabled ? argument : argument.slice(0, -WITHOUT_SCRIPT.length);
  const viewport = { width: 360, height: 740 };
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled, viewport });
  const page = await context.newPage();

  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("request", (request) => {
    const isPage = request.isNavigationRequest() || request.url().startsWith("data:");
    if (!isPage) problems.push(`requested ${request.url()}`);
  });

  const response = await page.goto(url);
  const visible = async (selector) => {
    const element = page.locator(selector).filter({ visible: true });
    return (await element.count()) > 0 ? element.first().innerText() : null;
  };

  const shown = {
    url: argument,
    status: response.status(),
    title: await page.title(),
    heading: await visible("h1"),
    button: await visible("#open"),
    code: await visible("#code"),
    server: await visible("#server"),
    download: (await page.locator("#get").count()) > 0 ? await page.locator("#get").getAttribute("href") : null,
    text: await page.locator("main").innerText(),
    problem: (await page.locator("[data-problem]").count()) > 0 ? await page.locator("[data-problem]").getAttribute("data-problem") : null,
    markup: await page.locator("main script, main img, main iframe, main b").count(),
  };

  if (javaScriptEnabled) {
    shown.overflows = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    await page.keyboard.press("Tab");
    shown.focused = await page.evaluate(() => document.activeElement.id || document.activeElement.dataset.action);
    shown.link = shown.button && (await page.locator("#open").getAttribute("href"));
    shown.opened = shown.button && (await click(page));
  }

  await context.close();
  return { ...shown, problems };
}

const [port, ...urls] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  headless: true,
  args: ["--no-sandbox", `--host-resolver-rules=MAP * 127.0.0.1:${port}`],
});

try {
  for (const url of urls) print(await visit(browser, url));
} finally {
  await browser.close();
}
