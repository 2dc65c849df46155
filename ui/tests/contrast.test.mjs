// Windows' contrast themes: the system's few colors replace the page's own, and every state still
// has to show.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { change, pages } from "./pages.mjs";
import { call, SETTINGS, state, STATES } from "./states.mjs";

const { withPage } = pages();
const CONTRAST = { forcedColors: "active", frames: false };

/** The colors in a picture of `selector`, at points given as shares of its width and height. */
async function colors(page, selector, points) {
  const png = await page.locator(selector).screenshot();
  return page.evaluate(
    async ([data, at]) => {
      const image = new Image();
      image.src = `data:image/png;base64,${data}`;
      await image.decode();
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: image.width, height: image.height });
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return at.map(([x, y]) =>
        Array.from(context.getImageData(x * image.width, y * image.height, 1, 1).data.slice(0, 3)),
      );
    },
    [png.toString("base64"), points],
  );
}

/** How far apart two colors are, from 0 to 255. */
const distance = (a, b) => Math.max(...a.map((value, index) => Math.abs(value - b[index])));

describe("in a contrast theme", () => {
  for (const colorScheme of ["light", "dark"]) {
    const options = { ...CONTRAST, colorScheme };

    test(`a switch shows whether it is on, ${colorScheme}`, async () => {
      await withPage(STATES.lobby, options, async (page) => {
        await page.keyboard.press("Control+,");
        await page.mouse.move(2, 2);
        // The middle of the track, and where the knob is when off and when on.
        const points = [
          [0.5, 0.5],
          [0.24, 0.5],
          [0.76, 0.5],
        ];
        const [offTrack, offKnob, offRest] = await colors(page, "#autoGain", points);
        const [onTrack, onRest, onKnob] = await colors(page, "#echoCancellation", points);
        assert.ok(distance(offKnob, offRest) > 100, `off: ${[offKnob, offRest]}`);
        assert.ok(distance(onKnob, onRest) > 100, `on: ${[onKnob, onRest]}`);
        assert.ok(distance(offTrack, onTrack) > 60, `tracks: ${[offTrack, onTrack]}`);
      });
    });

    test(`muted and without video look different from on, ${colorScheme}`, async () => {
      for (const [on, off] of [
        [STATES["in-call"], state({ screen: call({ muted: true, cameraOn: false }) })],
        [STATES.lobby, state({ settings: { ...SETTINGS, muted: true, cameraEnabled: false } })],
      ]) {
        await withPage(on, options, async (page) => {
          const edge = [[0.16, 0.5]];
          for (const action of ["mute", "camera"]) {
            await change(page, { screen: on.screen, settings: on.settings });
            await page.mouse.move(300, 300);
            const [before] = await colors(page, `[data-action=${action}]`, edge);
            await change(page, { screen: off.screen, settings: off.settings });
            await page.mouse.move(310, 300);
            const [after] = await colors(page, `[data-action=${action}]`, edge);
            assert.ok(distance(before, after) > 100, `${action}: ${[before, after]}`);
          }
        });
      }
    });

    test(`the level meter shows its level and its end, ${colorScheme}`, async () => {
      await withPage(STATES.lobby, options, async (page) => {
        const level = (value) =>
          page.evaluate((it) => window.mock.emit("microphone-level", { level: it }), value);
        const points = [
          [0.3, 0.5],
          [0.8, 0.5],
        ];
        await level(0.5);
        const [filled, empty] = await colors(page, "#level", points);
        assert.ok(distance(filled, empty) > 60, JSON.stringify([filled, empty]));
        assert.equal(
          await page.locator("#level").evaluate((it) => getComputedStyle(it).borderTopWidth),
          "1px",
        );
      });
    });
  }

  test("what only its background set apart has a border", async () => {
    await withPage(STATES["in-call-muted"], CONTRAST, async (page) => {
      for (const selector of [".badge.attention", "#controls", "#self-view", ".note"]) {
        const width = await page
          .locator(selector)
          .first()
          .evaluate((it) => Number.parseFloat(getComputedStyle(it).borderTopWidth));
        assert.ok(width >= 1, selector);
      }
    });
  });
});
