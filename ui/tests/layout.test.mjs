// Whether the page fits its window: at every size, and with the system's text twice as large.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { pages, show } from "./pages.mjs";
import { call, PARTNER, state, STATES } from "./states.mjs";

const { withPage } = pages();

/** Every screen; `settings` is the dialog over one. */
const SCREENS = {
  ...STATES,
  "in-call-known": { ...STATES["in-call"], screen: call({ known: true, partnerMuted: true }) },
  "in-call-all-notes": {
    ...STATES["in-call"],
    screen: call({ muted: true, serverLost: true, partnerMuted: true, quality: 1 }),
  },
  "in-call-long-name": {
    ...STATES["in-call"],
    screen: call({ partner: { ...PARTNER, name: "Wilhelmina ".repeat(6) }, partnerMuted: true }),
  },
  settings: STATES.lobby,
  "settings-in-call": STATES["in-call"],
  "verification-words": STATES["in-call"],
  "verification-code": STATES["in-call-verified-by-code"],
};

/**
 * Goes through all controls of the screen and scrolls each into view. Returns what is wrong: a
 * control that something covers, or one that is not in the window. With large text there is no room
 * beside a problem, which covers others until it is dismissed.
 */
function unreachable({ largeText }) {
  const within = document.querySelector("dialog[open]") ?? document.querySelector("main");
  const faults = [];
  for (const control of within.querySelectorAll("button, input, select, summary, #self-view")) {
    if (!control.checkVisibility({ contentVisibilityAuto: true })) continue;
    if (control.closest("details:not([open])") && control.localName !== "summary") continue;
    control.scrollIntoView({ block: "nearest", inline: "nearest" });
    const name = control.dataset.action ?? (control.id || control.textContent);
    const { left, right, top, bottom } = control.getBoundingClientRect();
    if (left < -1 || top < -1 || right > window.innerWidth + 1 || bottom > window.innerHeight + 1) {
      faults.push(`${name} is not in the window: ${[left, top, right, bottom].map(Math.round)}`);
      continue;
    }
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    // Corners are round, and a switch's label may take its clicks.
    const [dx, dy] = [(right - left) / 3, (bottom - top) / 4];
    for (const [px, py] of [
      [x, y],
      [x - dx, y - dy],
      [x + dx, y - dy],
      [x - dx, y + dy],
      [x + dx, y + dy],
    ]) {
      const hit = document.elementFromPoint(px, py);
      if (control.contains(hit) || hit?.contains(control)) continue;
      if (largeText && hit?.closest(".problem")) continue;
      faults.push(`${name} is covered by ${hit?.id || hit?.className || hit?.localName}`);
      break;
    }
  }
  return faults;
}

/** Text that is cut off, leaves its button or the window, or lies on other text. */
function unreadable() {
  const within = document.querySelector("dialog[open]") ?? document.querySelector("main");
  const lines = [];
  const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { currentNode: node } = walker;
    const parent = node.parentElement;
    if (node.data.trim() === "" || parent.closest("option, .visually-hidden")) continue;
    if (!parent.checkVisibility({ checkVisibilityCSS: true })) continue;
    if (parent.closest("details:not([open])") && !parent.closest("summary")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      // What may end in an ellipsis ends where its box does.
      const clip = parent
        .closest(".who h1, .about, .badge .foreign, .stage-note .foreign")
        ?.getBoundingClientRect();
      const right = Math.min(box.right, clip?.right ?? Infinity);
      const bottom = Math.min(box.bottom, clip?.bottom ?? Infinity);
      if (right <= box.left || bottom <= box.top) continue;
      lines.push({ node, text: node.data, left: box.left, top: box.top, right, bottom });
    }
  }

  const faults = [];
  for (const { node, text, left, right } of lines) {
    if (left < -1 || right > window.innerWidth + 1) faults.push(`“${text}” leaves the window`);
    const button = node.parentElement.closest("button, summary, .badge, .note");
    if (!button) continue;
    const box = button.getBoundingClientRect();
    if (left < box.left - 1 || right > box.right + 1) faults.push(`“${text}” leaves its button`);
  }
  // Only a call lays things over each other.
  if (!within.matches(".call") || within.querySelector(".problem")) return faults;
  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  lines.forEach((a, index) => {
    for (const b of lines.slice(index + 1)) {
      if (a.node !== b.node && overlap(a, b)) faults.push(`“${a.text}” lies on “${b.text}”`);
    }
    const selfView = document.getElementById("self-view");
    if (!selfView.contains(a.node) && overlap(a, selfView.getBoundingClientRect())) {
      faults.push(`the self-view lies on “${a.text}”`);
    }
  });
  return faults;
}

/** Shows every screen in turn, with the controls of a call visible. */
async function eachScreen(page, { width, height }, work) {
  for (const [name, it] of Object.entries(SCREENS)) {
    await show(page, it);
    if (name.startsWith("settings")) await page.keyboard.press("Control+,");
    if (name.startsWith("verification")) await page.locator("[data-action=verification]").click();
    // Idle controls take no clicks.
    await page.mouse.move(width / 2, height / 2);
    await page.mouse.move(width / 2, height / 2 + 1);
    await work(name);
    await page.keyboard.press("Escape");
  }
}

describe("everything can be reached and read", () => {
  const sizes = [
    { width: 360, height: 480 },
    { width: 719, height: 480 },
    { width: 720, height: 480 },
    { width: 1100, height: 760 },
    { width: 640, height: 480, textPx: 32 },
    { width: 360, height: 480, textPx: 32 },
  ];
  for (const size of sizes) {
    const { width, height, textPx = 16 } = size;
    test(`at ${width}x${height} with text of ${textPx} pixels`, async () => {
      await withPage(state(), { ...size, frames: false }, async (page) => {
        const rootPx = await page.evaluate(
          () => getComputedStyle(document.documentElement).fontSize,
        );
        assert.equal(rootPx, `${textPx}px`, "the page has the system's text size");
        await eachScreen(page, size, async (name) => {
          assert.deepEqual(await page.evaluate(unreachable, { largeText: textPx > 16 }), [], name);
          assert.deepEqual(await page.evaluate(unreadable), [], name);
        });
      });
    });
  }

  test("at every width of a call in between", async () => {
    for (const width of [400, 440, 520, 600]) {
      const size = { width, height: 480 };
      await withPage(STATES["in-call"], { ...size, frames: false }, async (page) => {
        await page.mouse.move(width / 2, 200);
        assert.deepEqual(await page.evaluate(unreachable, {}), [], `${width} pixels wide`);
      });
    }
  });

  test("the self-view is beside the controls or above them, at every width", async () => {
    for (const width of [360, 719, 720, 735, 800, 879, 880, 1100]) {
      const size = { width, height: 860 };
      await withPage(STATES["in-call"], { ...size, frames: false }, async (page) => {
        await page.mouse.move(width / 2, 200);
        const controls = await page.locator("#controls").boundingBox();
        const selfView = await page.locator("#self-view").boundingBox();
        const beside = controls.x + controls.width <= selfView.x;
        const above = selfView.y + selfView.height <= controls.y;
        assert.ok(beside || above, `${width} pixels wide`);
      });
    }
  });

  test("the details of a connection, in the smallest window", async () => {
    const size = { width: 360, height: 480 };
    for (const textPx of [16, 32]) {
      await withPage(STATES["in-call-muted"], { ...size, textPx, frames: false }, async (page) => {
        await page.locator("[data-action=call-details]").click();
        const facts = page.locator(".connection-facts");
        const { x, y, width, height } = await facts.boundingBox();
        assert.ok(x >= 0 && y >= 0 && x + width <= 360 && y + height <= 480);
        for (const fact of await facts.locator("li").all()) {
          await fact.scrollIntoViewIfNeeded();
          const uncovered = await fact.evaluate((it) => {
            const { left, top, height } = it.querySelector("span").getBoundingClientRect();
            // With large text, one may be higher than what can be seen at a time.
            return [0.1, 0.3, 0.5, 0.7, 0.9].some((share) =>
              it.contains(document.elementFromPoint(left + 4, top + share * height)),
            );
          });
          assert.ok(uncovered, await fact.textContent());
        }
      });
    }
  });
});

test("the answers to a ring have one line each, also in the smallest window", async () => {
  for (const size of [
    { width: 360, height: 480 },
    { width: 360, height: 480, textPx: 32 },
  ]) {
    await withPage(STATES["lobby-nearby-ringing"], { ...size, frames: false }, async (page) => {
      const lines = await page.locator(".incoming-answers .label").evaluateAll((labels) =>
        labels.map((label) => {
          const range = document.createRange();
          range.selectNodeContents(label);
          return [label.textContent, range.getClientRects().length];
        }),
      );
      const expected = ["Decline", "Sound only", "Accept"].map((label) => [label, 1]);
      assert.deepEqual(lines, expected);
    });
  }
});

test("the rings around a person who is being called are whole, also in the smallest window", async () => {
  for (const name of ["connecting", "connecting-timed-out"]) {
    await withPage(STATES[name], { width: 360, height: 480 }, async (page) => {
      const above = await page.locator(".pulse").evaluate((pulse) => {
        const { top, height } = getComputedStyle(pulse, "::after");
        // At its largest, in the middle of the animation: see `breathe` in calm.css.
        const growth = (0.07 / 2) * Number.parseFloat(height);
        const ring = pulse.getBoundingClientRect().top + Number.parseFloat(top) - growth;
        return ring - pulse.closest(".center").getBoundingClientRect().top;
      });
      assert.ok(above >= 0, `${above} pixels below the edge that would cut it off`);
    });
  }
});

describe("the page fits", () => {
  for (const [width, height] of [
    [640, 480],
    [800, 600],
    [1280, 800],
    [1920, 1080],
    [3840, 2160],
  ]) {
    test(`${width}x${height}`, async () => {
      await withPage(state(), { width, height, frames: false }, async (page) => {
        for (const [name, it] of Object.entries(STATES)) {
          await show(page, it);
          const [wide, high] = await page.evaluate(() => [
            document.documentElement.scrollWidth - window.innerWidth,
            document.documentElement.scrollHeight - window.innerHeight,
          ]);
          assert.ok(wide <= 0 && high <= 0, `${name} is ${wide} × ${high} px too large`);
          const controls = page.locator("#controls");
          if ((await controls.count()) === 0) continue;
          const box = await controls.boundingBox();
          assert.ok(
            box.x >= 0 && box.x + box.width <= width,
            `${name}: all controls are in the window`,
          );
        }
      });
    });
  }
});
