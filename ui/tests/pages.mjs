// What the browser tests share: pages that show a state, and what to do with them.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Harness } from "./harness.mjs";

/** A browser for the tests of one file. */
export function pages() {
  let harness;
  before(async () => (harness = await Harness.open()));
  after(async () => harness?.close());

  return {
    /** Runs a test on a page of its own, closes it and checks that it had no faults. */
    async withPage(it, options, work) {
      const page = await harness.page(it, options);
      try {
        await work(page);
        assert.deepEqual(
          page.faults,
          [],
          "no error, no violation of the policy, no request to another server",
        );
      } finally {
        await page.context().close();
      }
    },
  };
}

export const screen = (page) => page.locator("main").getAttribute("data-screen");
export const change = (page, changes) => page.evaluate((it) => window.mock.change(it), changes);

/** Makes the page show another state, as the app would, without the settings over it. */
export async function show(page, it) {
  await page.evaluate(() => {
    document.querySelector("dialog[open] [data-action=close-settings]")?.click();
  });
  const changes = { ...it };
  delete changes.revision;
  await change(page, changes);
  await page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
  );
}

/** The commands of one type that the page sent. */
export const sent = (page, type) => page.evaluate((it) => window.mock.sent(it), type);

export const focused = (page) =>
  page.evaluate(() => {
    const { id, dataset } = document.activeElement;
    return dataset.action ?? id;
  });

/** Presses Tab until the element with this action or id has the focus. */
export async function tabTo(page, name) {
  const seen = [];
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press("Tab");
    seen.push(await focused(page));
    if (seen.at(-1) === name) return;
  }
  assert.fail(`Tab does not reach ${name}: ${seen.join(", ")}`);
}
