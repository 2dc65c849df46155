// The built page in Chromium, with a mocked app: `npm run test:browser`.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";

import { policy } from "./harness.mjs";
import { change, focused, pages, screen, sent, show, tabTo } from "./pages.mjs";
import { call, HOSTILE, NOW, state, STATES } from "./states.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const { withPage } = pages();

describe("the bundle", () => {
  test("is at most 150 KB gzipped, in separate files, without inline code", () => {
    const dist = join(import.meta.dirname, "../dist");
    const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const bytes = files.map(
      (file) => gzipSync(readFileSync(join(file.parentPath, file.name))).length,
    );
    const total = bytes.reduce((sum, size) => sum + size, 0);
    assert.ok(files.length >= 3, "page, script and style are there");
    assert.ok(total <= 150 * 1024, `${total} bytes`);
    const html = readFileSync(join(dist, "index.html"), "utf8");
    assert.doesNotMatch(html, /<style|style=|<script(?![^>]*src=)|https?:/u);
  });

  test("needs no exception from the window's policy", () => {
    assert.doesNotMatch(policy(), /unsafe-|https:|\*(?!$|;| )(?<!:\*)/u);
  });
});

/** What axe finds that is worse than minor. */
async function axe(page) {
  const { violations, passes } = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ["violations"] }),
  );
  assert.ok(passes.length > 5, "axe checked something");
  return violations
    .filter(({ impact }) => impact !== "minor")
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`,
    );
}

describe("accessibility", () => {
  const all = Object.entries({
    ...STATES,
    settings: STATES.lobby,
    "settings-in-call": STATES["in-call"],
    "verification-words": STATES["in-call"],
    "verification-code": STATES["in-call-verified-by-code"],
  });
  for (const colorScheme of ["light", "dark"]) {
    test(`axe finds no fault on any screen, ${colorScheme}`, async (t) => {
      await withPage(state(), { colorScheme }, async (page) => {
        await page.evaluate(AXE);
        for (const [name, it] of all) {
          await t.test(name, async () => {
            await show(page, it);
            if (name.startsWith("settings")) await page.locator("[data-action=settings]").click();
            if (name.startsWith("verification")) {
              // The dialog of the screen before may be open: it is the same call.
              await page.keyboard.press("Escape");
              await page.locator("[data-action=verification]").click();
            }
            assert.deepEqual(await axe(page), []);
          });
        }
      });
    });
  }

  test("whatever has the focus shows it", async () => {
    for (const it of [state(), STATES["in-call"], STATES.ended]) {
      await withPage(it, {}, async (page) => {
        // A dialog that is closed has buttons, too.
        const count = await page
          .locator("main :is(button, input, select, summary, [tabindex='0']):visible")
          .count();
        for (let presses = 0; presses < count; presses++) {
          await page.keyboard.press("Tab");
          const outline = await page.evaluate(() => {
            const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
            return `${outlineStyle} ${outlineWidth}`;
          });
          assert.equal(outline, "solid 3px", await focused(page));
        }
      });
    }
  });

  test("nothing moves for users who prefer reduced motion", async () => {
    await withPage(STATES.connecting, { reducedMotion: "reduce" }, async (page) => {
      assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
    });
    await withPage(STATES.connecting, { reducedMotion: "no-preference" }, async (page) => {
      assert.ok(
        (await page.evaluate(() => document.getAnimations().length)) > 0,
        "and for others it does",
      );
    });
  });
});

test("a call works from start to end with the keyboard alone", async () => {
  await withPage(state(), { reducedMotion: "no-preference" }, async (page) => {
    await tabTo(page, "name");
    await page.keyboard.type("Robin M");
    await tabTo(page, "room-code");
    await page.keyboard.type("garden-42");
    await page.keyboard.press("Enter");
    assert.deepEqual(
      await sent(page, "callWithCode"),
      [{ type: "callWithCode", code: "garden-42" }],
      "Enter in the code field calls",
    );
    assert.equal((await sent(page, "setName")).length, 1, "the page sent the name before");

    await change(page, {
      screen: {
        kind: "waiting",
        search: { kind: "room", code: "garden-42", server: null },
        ringing: false,
        startedAtMs: NOW,
        sendsVideo: true,
      },
    });
    assert.equal(await focused(page), "heading", "the focus moves to the new screen");
    assert.equal(await page.locator("#announcer").textContent(), "Waiting for someone");
    await tabTo(page, "cancel");

    await change(page, { screen: call({ connectedAtMs: NOW }) });
    assert.equal(await screen(page), "in-call");
    await page.keyboard.press("m");
    await page.keyboard.press("v");
    assert.deepEqual(await sent(page, "setMuted"), [{ type: "setMuted", muted: true }]);
    assert.deepEqual(await sent(page, "setCameraOn"), [{ type: "setCameraOn", on: false }]);
    await change(page, { screen: call({ connectedAtMs: NOW, muted: true }) });
    assert.equal(await page.locator("#announcer").textContent(), "You're muted");

    await tabTo(page, "self-view");
    const position = () => page.locator("#self-view").boundingBox();
    const home = await position();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Shift+ArrowUp");
    const moved = await position();
    assert.ok(
      Math.abs(home.x - moved.x - 24) < 1.5 && Math.abs(home.y - moved.y - 120) < 1.5,
      JSON.stringify([home, moved]),
    );
    await page.keyboard.press("Home");
    assert.deepEqual(await position(), home);

    await tabTo(page, "settings");
    await page.keyboard.press("Enter");
    await page.locator("dialog#settings[open]").waitFor();
    for (let presses = 0; presses < 14; presses++) {
      await page.keyboard.press("Tab");
      const inside = await page.evaluate(() => {
        const { activeElement } = document;
        // Between the last and the first element the focus passes Chromium's toolbar: here, the
        // body.
        return activeElement === document.body || activeElement.closest("dialog") !== null;
      });
      assert.ok(inside, `the focus stays in the dialog: ${await focused(page)}`);
    }
    await page.locator("#autoGain").focus();
    await page.keyboard.press("m");
    assert.equal((await sent(page, "setMuted")).length, 2, "muting works with the settings open");
    await change(page, { screen: call({ connectedAtMs: NOW, muted: false }) });
    assert.equal(
      await page.locator("dialog#settings > [role=status]").textContent(),
      "You're unmuted",
      "and is said in the dialog, because nothing behind it is",
    );
    await page.locator("#server-url").focus();
    await page.keyboard.press("m");
    assert.equal((await sent(page, "setMuted")).length, 2, "but not while typing");
    await page.locator("#autoGain").focus();
    await page.keyboard.press("Escape");
    await page.locator("dialog#settings:not([open])").waitFor({ state: "attached" });
    assert.equal(await focused(page), "settings", "the focus is back where it was");

    await page.keyboard.press("Control+,");
    await page.locator("dialog#settings[open]").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog#settings:not([open])").waitFor({ state: "attached" });

    await tabTo(page, "hang-up");
    await page.keyboard.press("Space");
    assert.equal((await sent(page, "hangUp")).length, 1);
    await page.keyboard.press("Control+Shift+H");
    assert.equal((await sent(page, "hangUp")).length, 2);
    await change(page, {
      screen: {
        kind: "ended",
        reason: "HUNG_UP",
        cause: null,
        mismatch: null,
        durationMs: 65_000,
        name: null,
        otherServer: null,
        asksDirectAt: null,
        again: { kind: "anyone" },
      },
    });
    await tabTo(page, "to-lobby");
    await page.keyboard.press("Enter");
    assert.equal((await sent(page, "toLobby")).length, 1);
  });
});

describe("the controls of a call", () => {
  const opacity = (page) =>
    page.locator("#controls").evaluate((it) => getComputedStyle(it).opacity);

  test("hide when idle, come back with the pointer, and stay while they have the focus", async () => {
    await withPage(STATES["in-call"], {}, async (page) => {
      await page.mouse.move(300, 300);
      await page.locator("main[data-idle=true]").waitFor({ timeout: 15_000 });
      assert.equal(await opacity(page), "0");
      await page.mouse.move(310, 300);
      await page.locator("main:not([data-idle])").waitFor();
      assert.equal(await opacity(page), "1");

      await tabTo(page, "mute");
      const idle = page.locator("main[data-idle=true]").waitFor({ timeout: 5_000 });
      await assert.rejects(idle, "the controls stay while they have the focus");
      assert.equal(await opacity(page), "1");
    });
  });

  test("can be read under the pointer, also when switched off", async () => {
    await withPage(state({ screen: call({ muted: true }) }), {}, async (page) => {
      await page.hover("[data-action=mute]");
      const colors = await page.locator("[data-action=mute]").evaluate((it) => {
        const { color, backgroundColor } = getComputedStyle(it);
        return [color, backgroundColor].map((text) => text.match(/[\d.]+/g).map(Number));
      });
      const [text, behind] = colors.map(([r, g, b, alpha = 1]) => ((r + g + b) / 3) * alpha);
      assert.ok(behind - text > 150, `dark on light: ${JSON.stringify(colors)}`);
    });
  });

  test("badges that warn stay when the others hide", async () => {
    const trouble = call({ partnerMuted: true, quality: 1 });
    await withPage(state({ screen: trouble }), {}, async (page) => {
      await page.locator("main[data-idle=true]").waitFor({ timeout: 15_000 });
      const shown = (name) =>
        page
          .locator(`.badges > li:is(:has([data-badge=${name}]), [data-badge=${name}])`)
          .evaluate((it) => getComputedStyle(it).opacity);
      assert.deepEqual([await shown("partner-muted"), await shown("quality")], ["1", "1"]);
      await change(page, { screen: call({ partnerMuted: true, quality: 3 }) });
      assert.deepEqual([await shown("partner-muted"), await shown("quality")], ["1", "0"]);
    });
  });

  test("the self-view can be dragged, and stays within the window when that shrinks", async () => {
    await withPage(STATES["in-call"], {}, async (page) => {
      const selfView = page.locator("#self-view");
      const start = await selfView.boundingBox();
      await page.mouse.move(start.x + 20, start.y + 20);
      await page.mouse.down();
      await page.mouse.move(start.x - 180, start.y - 80, { steps: 5 });
      await page.mouse.up();
      const moved = await selfView.boundingBox();
      assert.ok(
        Math.abs(start.x - moved.x - 200) < 2 && Math.abs(start.y - moved.y - 100) < 2,
        JSON.stringify(moved),
      );
      await page.mouse.move(10, 10);
      assert.deepEqual(await selfView.boundingBox(), moved, "it stays where it was dropped");
      await page.setViewportSize({ width: 640, height: 480 });
      const box = await selfView.boundingBox();
      assert.ok(
        box.x >= 0 && box.y >= 0 && box.x + box.width <= 640 && box.y + box.height <= 480,
        JSON.stringify(box),
      );
    });
  });
});

test("a click that lands on the card of a ring as it appears answers nothing", async () => {
  const ringing = STATES["lobby-ringing"];
  await withPage(ringing, {}, async (page) => {
    const accept = page.locator("[data-action=accept-call]");
    const { x, y, width, height } = await accept.boundingBox();
    await show(page, state());

    // Clicked in the same moment in which it appears.
    const hit = await page.evaluate(
      ([incoming, ...at]) => {
        window.mock.change({ incoming });
        const button = document.elementFromPoint(...at).closest("button");
        button.click();
        return button.dataset.action;
      },
      [{ ...ringing.incoming, id: 41 }, x + width / 2, y + height / 2],
    );
    assert.equal(hit, "accept-call");
    assert.deepEqual(await sent(page, "acceptCall"), [], "meant for something else");

    await accept.click();
    assert.deepEqual(await sent(page, "acceptCall"), [{ type: "acceptCall", id: 41, video: true }]);
  });
});

test("a partner's profile is shown as text", async () => {
  for (const screen of [
    call({ partner: HOSTILE, partnerCameraOff: true }),
    { kind: "connecting", partner: HOSTILE, step: "checking", startedAtMs: NOW, timedOut: true },
  ]) {
    for (const [width, height] of [
      [640, 480],
      [1280, 800],
    ]) {
      await withPage(state({ screen }), { width, height }, async (page) => {
        assert.equal(await page.evaluate(() => window.hacked), undefined, "no code of theirs ran");
        assert.equal(await page.locator("main :is(img, script, b)").count(), 0);
        assert.match(await page.locator("h1").textContent(), /<img src=x onerror/u);
        const wide = await page.evaluate(
          () => document.documentElement.scrollWidth > window.innerWidth,
        );
        assert.equal(wide, false, "and it does not widen the page");
        const title = await page.title();
        assert.doesNotMatch(title, /[\u202a-\u202e\u2066-\u2069]/u);
      });
    }
  }
});

test("device names, codes and details are shown as text", async () => {
  const evil = '<img src=x onerror="window.hacked=1">';
  const it = state({
    devices: { cameras: [{ id: evil, name: evil }], microphones: [], speakers: [] },
    problems: [{ id: 1, code: evil, place: "camera", detail: evil }],
    host: { status: "on", addresses: [evil] },
  });
  await withPage(it, {}, async (page) => {
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator("main img").count(), 0);
  });
});

test("a refused command shows its words where it was sent, until the next one succeeds", async () => {
  await withPage(state(), {}, async (page) => {
    await page.evaluate(() => (window.mock.refusals.callWithCode = "BAD_ROOM"));
    await page.fill("#room-code", "not a code");
    await page.keyboard.press("Enter");
    const card = page.locator(".with-code [data-problem=BAD_ROOM]");
    await card.waitFor();
    const code = card.locator(".problem-code");
    assert.equal(
      await code.evaluate((it) => getComputedStyle(it).userSelect),
      "text",
      "its code can be copied",
    );
    await page.locator("[data-action=refresh-devices]").click();
    await card.waitFor({ state: "detached" });
  });
});

describe("frames", () => {
  /** The color in the middle of a canvas. */
  const middle = (page, id) =>
    page.evaluate((it) => {
      const canvas = document.getElementById(it);
      return Array.from(
        canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data,
      );
    }, id);

  for (const way of ["VideoFrame", "putImageData"]) {
    test(`are drawn at display size by ${way}, and gone when the partner's camera is off`, async () => {
      await withPage(STATES["in-call"], {}, async (page) => {
        if (way === "putImageData") {
          await page.addInitScript(() => delete window.VideoFrame);
          await page.reload();
        }
        await page
          .locator("canvas#remote[data-sequence='2'], canvas#remote[data-sequence='1']")
          .waitFor();
        const [red, green, blue] = await middle(page, "remote");
        assert.ok(
          red > green && green > blue && red > 120 && red < 230,
          `skin: ${[red, green, blue]}`,
        );
        const note = page.locator(".stage-note");
        assert.equal(await note.isVisible(), false, "nothing that the video covers is painted");
        const remote = page.requests.filter(({ stream }) => stream === "remote");
        const local = page.requests.find(({ stream }) => stream === "local");
        assert.equal(local.maxWidth, local.maxHeight, "the self-view may have any shape");
        assert.deepEqual(
          [remote[0].after, remote[0].maxWidth, remote[0].maxHeight],
          [0, 1280, 800],
        );

        await change(page, { screen: call({ partnerCameraOff: true }) });
        assert.equal(await page.locator("canvas#remote").getAttribute("data-frames"), "0");
        const size = await page
          .locator("canvas#remote")
          .evaluate(({ width, height }) => [width, height]);
        assert.deepEqual(size, [2, 2], "nothing of the last frame is left");
        assert.equal(await note.isVisible(), true, "and the page says why");
      });
    });
  }

  test("of one partner never show in the call with the next", async () => {
    await withPage(STATES["in-call"], {}, async (page) => {
      await page.locator("canvas#remote[data-live]").waitFor();
      const before = page.requests.length;
      await change(page, {
        screen: call({ connectedAtMs: NOW, partner: { ...call().partner, name: "Another" } }),
      });
      await page.waitForFunction(() => document.querySelector("canvas#remote[data-live]"));
      const again = page.requests.slice(before).find(({ stream }) => stream === "remote");
      assert.equal(again.after, 0, "the stream started over");
    });
  });

  test("come back after the socket breaks, with a new token", async () => {
    await withPage(STATES["in-call"], {}, async (page) => {
      await page.locator("canvas#remote[data-live]").waitFor();
      const opened = page.sockets.length;
      await page.sockets.at(-1).close({ code: 1011 });
      const deadline = Date.now() + 10_000;
      while (page.sockets.length === opened && Date.now() < deadline) await page.waitForTimeout(50);
      assert.ok(page.sockets.length > opened, "a new connection was opened");
      const tokens = page.sockets.map((socket) =>
        socket.protocols().find((protocol) => protocol.startsWith("bearer.")),
      );
      assert.ok(tokens.every(Boolean), "each with a token");
      assert.equal(new Set(tokens).size, tokens.length, "of its own");
    });
  });
});

test("a state that changes nothing leaves the document alone", async () => {
  await withPage(state(), { frames: false }, async (page) => {
    for (const [name, it] of Object.entries(STATES)) {
      await show(page, it);
      const mutations = await page.evaluate(() => {
        const observer = new MutationObserver(() => undefined);
        const all = { attributes: true, childList: true, characterData: true, subtree: true };
        observer.observe(document, all);
        window.mock.change({ screen: structuredClone(window.mock.state.screen) });
        const records = observer.takeRecords();
        return records.map(({ type, target }) => `${type} in ${target.parentElement?.outerHTML}`);
      });
      assert.deepEqual(mutations, [], `${name}: each costs style and layout, once a second`);
    }
  });
});

describe("the profile", () => {
  /** A photo as a camera held upright writes it: turned by Exif, which also says where it was. */
  async function photo(page) {
    const url = await page.evaluate(() => {
      const canvas = document.createElement("canvas");
      canvas.width = 1200;
      canvas.height = 800;
      const context = canvas.getContext("2d");
      context.fillStyle = "red";
      context.fillRect(0, 0, 600, 800);
      context.fillStyle = "blue";
      context.fillRect(600, 0, 600, 800);
      return canvas.toDataURL("image/jpeg");
    });
    const jpeg = Buffer.from(url.split(",")[1], "base64");
    // One entry: orientation (0x0112) 6, "turn to the right by a quarter".
    const exif = Buffer.concat([
      Buffer.from("Exif\0\0MM\0*\0\0\0\x08", "latin1"),
      Buffer.from([0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]),
      Buffer.from("taken at home"),
    ]);
    const head = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
    return Buffer.concat([jpeg.subarray(0, 2), head, exif, jpeg.subarray(2)]);
  }

  /** The color at a place of the picture, each from 0 to 1. */
  function colorAt(page, url, x, y) {
    return page.evaluate(
      async ([url, x, y]) => {
        const image = new Image();
        image.src = url;
        await image.decode();
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const [at, down] = [x * canvas.width, y * canvas.height];
        const [red, , blue] = context.getImageData(at, down, 1, 1).data;
        return { side: canvas.width, color: red > blue ? "red" : "blue" };
      },
      [url, x, y],
    );
  }

  test("gets a small picture, upright, without what the camera wrote into the file", async () => {
    await withPage(state(), {}, async (page) => {
      await page.locator("[data-action=settings]").first().click();
      const buffer = await photo(page);
      await page
        .locator("#picture-file")
        .setInputFiles({ name: "me.jpg", mimeType: "image/jpeg", buffer });
      const picture = await page.waitForFunction(() => window.mock.sent("setPicture")[0]?.picture);
      const url = await picture.jsonValue();
      assert.match(url, /^data:image\/jpeg;base64,/u);
      assert.ok(url.length <= 32 * 1024, `${url.length} bytes`);
      const bytes = Buffer.from(url.split(",")[1], "base64").toString("latin1");
      assert.doesNotMatch(bytes, /Exif|taken at home/u);
      assert.deepEqual(await colorAt(page, url, 0.5, 0.1), { side: 256, color: "red" });
      assert.deepEqual(await colorAt(page, url, 0.5, 0.9), { side: 256, color: "blue" });
    });
  });

  test("a file that is no picture is refused in words", async () => {
    await withPage(state(), {}, async (page) => {
      await page.locator("[data-action=settings]").first().click();
      await page.locator("#picture-file").setInputFiles({
        name: "me.jpg",
        mimeType: "image/jpeg",
        buffer: Buffer.from("not a picture"),
      });
      await page.waitForFunction(() => window.mock.sent("setPicture").length > 0);
      assert.deepEqual(await sent(page, "setPicture"), [{ type: "setPicture", picture: "" }]);
    });
  });
});
