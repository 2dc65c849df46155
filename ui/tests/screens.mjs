// Pictures of all screens: `node tests/screens.mjs FOLDER [WIDTHxHEIGHT] [NAME…]`.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { Harness } from "./harness.mjs";
import { STATES, state } from "./states.mjs";

const [folder = "../out/screens", size = "1280x800", ...names] = process.argv.slice(2);
const [width, height] = size.split("x").map(Number);
const wanted = names.length > 0 ? names : [...Object.keys(STATES), "settings"];

mkdirSync(folder, { recursive: true });
const harness = await Harness.open();
for (const name of wanted) {
  for (const colorScheme of ["light", "dark"]) {
    // A call looks the same in both.
    if (name.startsWith("in-call") && colorScheme === "dark") continue;
    const page = await harness.page(STATES[name] ?? state(), { width, height, colorScheme });
    if (name === "settings") await page.click("[data-action=settings]");
    else await page.evaluate(() => window.mock.emit("microphone-level", { level: 0.62 }));
    await page.mouse.move(width / 2, height / 3);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await page.waitForTimeout(150);
    await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
    if (page.faults.length > 0) console.log(name, page.faults);
    await page.context().close();
  }
}
await harness.close();
