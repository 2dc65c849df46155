// The guest page: accessibility, keyboard, layout, hostile text, and what it does without a click.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";

import { GuestHarness } from "./guest-harness.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LINK = "/j/7#garden-lantern";

let harness;
before(async () => (harness = await GuestHarness.open()));
after(async () => harness?.close());

/** Runs a test on a page of its own and checks that it had no faults. */
async function withPage(path, options, work) {
  const page = await harness.page(path, options);
  try {
    await work(page);
    assert.deepEqual(page.faults, [], "no error, no violated policy, no request to another server");
  } finally {
    await page.context().close();
  }
}

/** Goes through every screen of a call. */
async function eachScreen(options, work) {
  await withPage(LINK, options, async (page) => {
    await work(page, "start");
    await page.locator("[data-action=preview]").click();
    await page.waitForSelector("#local");
    await page.locator("[data-action=devices]").click();
    await work(page, "preview");
    await harness.knock(page);
    await work(page, "knocking");
    await harness.letIn(page, "Wilhelmina ".repeat(4).trim());
    await work(page, "connecting");
    const other = await harness.connect(page);
    await other.evaluate(() => window.channel.send('{"type":"state","muted":true,"camera":true}'));
    await page.waitForSelector("[data-badge=partner-muted]");
    await page.locator("[data-action=mute]").click();
    await work(page, "in-call");
    await page.locator("[data-action=devices]").click();
    await work(page, "in-call-devices");
    await page.locator("[data-action=hang-up]").click();
    await page.waitForSelector("[data-screen=ended]");
    await work(page, "ended");
  });
  for (const [path, name] of [
    ["/j/7#garden", "incomplete"],
    ["/j/7?off#garden-lantern", "off"],
    ["/", "home"],
  ]) {
    await withPage(path, options, (page) => work(page, name));
  }
}

/** What axe finds that is worse than minor. */
async function axe(page) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ["violations"] }),
  );
  assert.ok(passes.length > 5, "axe checked something");
  return violations
    .filter(({ impact }) => impact !== "minor")
    .map(
      ({ id, nodes }) => `${id}: ${nodes.map(({ failureSummary }) => failureSummary).join("; ")}`,
    );
}

describe("accessibility", () => {
  for (const colorScheme of ["light", "dark"]) {
    test(`axe finds no fault on any screen, ${colorScheme}`, async () => {
      await eachScreen({ colorScheme }, async (page, name) => {
        assert.deepEqual(await axe(page), [], name);
      });
    });
  }

  test("a call can be made with the keyboard alone", async () => {
    await withPage(LINK, {}, async (page) => {
      const focused = () =>
        page.evaluate(() => document.activeElement.dataset.action ?? document.activeElement.id);
      const tabTo = async (name) => {
        const seen = [];
        for (let presses = 0; presses < 30; presses += 1) {
          await page.keyboard.press("Tab");
          seen.push(await focused());
          if (seen.at(-1) === name) return;
        }
        assert.fail(`Tab does not reach ${name}: ${seen.join(", ")}`);
      };
      await tabTo("name");
      await page.keyboard.type("Bea");
      await page.keyboard.press("Enter");
      assert.equal((await harness.hear(page, "find_partner")).userName, "Bea");
      harness.say(page, { type: "searching", ringing: true });
      await harness.letIn(page);
      assert.equal(await focused(), "heading", "screen readers begin at the new screen");
      await harness.connect(page);
      const spoken = await page.locator("#announcer").textContent();
      assert.equal(spoken, "You're in a call with Amara");
      await tabTo("hang-up");
      await page.keyboard.press("Enter");
      await page.waitForSelector("[data-screen=ended]");
    });
  });
});

/** Controls that are not in the window once they are scrolled to, or lie under something. */
function unreachable() {
  const faults = [];
  for (const control of document.querySelectorAll("main :is(button, a, input, select, summary)")) {
    if (!control.checkVisibility()) continue;
    control.scrollIntoView({ block: "nearest", inline: "nearest" });
    const { left, right, top, bottom } = control.getBoundingClientRect();
    const name = control.dataset.action ?? (control.id || control.textContent);
    if (left < -1 || top < -1 || right > window.innerWidth + 1 || bottom > window.innerHeight + 1) {
      faults.push(`${name} is not in the window: ${[left, top, right, bottom].map(Math.round)}`);
      continue;
    }
    const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    if (!control.contains(hit) && !hit?.contains(control)) {
      faults.push(`${name} is covered by ${hit?.id || hit?.className || hit?.localName}`);
    }
    if (Math.min(right - left, bottom - top) < 24) faults.push(`${name} is too small for a finger`);
  }
  if (document.documentElement.scrollWidth > window.innerWidth) faults.push("it is too wide");
  return faults;
}

describe("everything can be reached", () => {
  for (const size of [
    { width: 360, height: 640, hasTouch: true, isMobile: true },
    { width: 640, height: 360, hasTouch: true, isMobile: true },
    { width: 360, height: 640, textPx: 32 },
    { width: 1280, height: 800 },
  ]) {
    const { width, height, textPx = 16 } = size;
    test(`at ${width}x${height} with text of ${textPx} pixels`, async () => {
      await eachScreen(size, async (page, name) => {
        // The open menus lie over the notes.
        if (name === "in-call" || name === "in-call-devices") await page.mouse.move(width / 2, 10);
        assert.deepEqual(await page.evaluate(unreachable), [], name);
      });
    });
  }
});

describe("the page", () => {
  test("asks for nothing and sends nothing without a click", async () => {
    await withPage(LINK, {}, async (page) => {
      assert.equal(await page.locator("video").count(), 0, "no camera");
      await page.locator("[data-action=preview]").click();
      await page.waitForSelector("#local");
      assert.equal(page.server, null, "the preview is not a knock");
    });
  });

  test("shows hostile names as text, and fetches no picture", async () => {
    await withPage(LINK, {}, async (page) => {
      await harness.knock(page);
      harness.say(page, {
        type: "partner_found",
        sessionId: "session",
        socketId: "partner",
        userName: "<img src=x onerror=alert(1)>\u202e",
        userPicture: "https://evil.example/picture.png",
        initiator: true,
      });
      await page.waitForSelector("[data-screen=connecting]");
      await harness.connect(page);
      const heading = await page.locator("h1").textContent();
      assert.equal(heading, "In a call with <img src=x onerror=alert(1)>");
      assert.equal(await page.locator("img").count(), 0);
    });
  });

  test("shows the other person's state, and reports its own", async () => {
    await withPage(LINK, {}, async (page) => {
      await harness.knock(page);
      await harness.letIn(page);
      const other = await harness.connect(page);
      await other.evaluate(() => {
        window.heard = [];
        window.channel.addEventListener("message", ({ data }) => window.heard.push(data));
      });
      await other.evaluate(() =>
        window.channel.send('{"type":"state","muted":false,"camera":false}'),
      );
      await page.waitForSelector("[data-badge=partner-camera-off]");
      assert.equal(await page.locator("#remote[data-live]").count(), 0, "no frozen frame");
      await page.locator("[data-action=mute]").click();
      await page.locator("[data-action=camera]").click();
      await other.waitForFunction(() => window.heard.at(-1)?.includes('"camera":false'));
      const last = await other.evaluate(() => window.heard.at(-1));
      assert.equal(last, '{"type":"state","muted":true,"camera":false}');
      assert.equal(await page.locator("#local").count(), 0);
    });
  });

  test("says that the two can't exchange video, and that its own is off", async () => {
    for (const width of [360, 1000]) {
      await withPage(LINK, { width, height: 640 }, async (page) => {
        await harness.knock(page);
        await harness.letIn(page);
        const other = await harness.connect(page, { video: false });
        await page.waitForSelector("[data-badge=no-video]");
        assert.deepEqual(await axe(page), []);
        await other.evaluate(() => {
          window.heard = [];
          window.channel.addEventListener("message", ({ data }) => window.heard.push(data));
        });
        await page.locator("[data-action=mute]").click();
        await other.waitForFunction(() => window.heard.length > 0);
        const last = await other.evaluate(() => window.heard.at(-1));
        assert.equal(last, '{"type":"state","muted":true,"camera":false}');
        const says = page.locator("[data-badge=no-video]");
        assert.ok(await says.isVisible(), "also beside the note that the microphone is muted");
      });
    }
  });

  test("ends a call that is an answer to nothing, or no answer at all", async () => {
    await withPage(LINK, {}, async (page) => {
      await harness.knock(page);
      await harness.letIn(page);
      await harness.hear(page, "webrtc_offer");
      const answer = { type: "answer", sdp: "garbage" };
      harness.say(page, { type: "webrtc_answer", answer, sessionId: "session", seq: 1 });
      // It has no proof of the words either, and that comes first.
      await page.waitForSelector("#end-reason[data-reason=codeMismatch]");
    });
  });

  test("uses another camera when the user chooses one", async () => {
    await withPage(LINK, {}, async (page) => {
      await page.locator("[data-action=preview]").click();
      await page.waitForSelector("#local");
      const label = () =>
        page.evaluate(() => document.getElementById("local").srcObject.getTracks()[0].label);
      const before = await label();
      await page.locator("[data-action=devices]").click();
      const options = await page.locator("#camera option").allTextContents();
      const another = options.findIndex((name, index) => index > 0 && name !== before);
      assert.ok(another > 0, `there is another camera: ${options}`);
      await page.locator("#camera").selectOption({ index: another });
      await page.waitForFunction(
        (old) => document.getElementById("local")?.srcObject.getTracks()[0].label !== old,
        before,
      );
      assert.equal(await label(), options[another]);
    });
  });
});
