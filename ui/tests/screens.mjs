// Pictures of the screens, as the mocked app shows them: `npm run screens [-- FOLDER [WIDTHxHEIGHT [NAME[-dark]…]]]`.
// Without names all screens, light and dark.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { Harness } from "./harness.mjs";
import { call, state, STATES } from "./states.mjs";

const [folder = "../out/screens", size = "1280x800", ...names] = process.argv.slice(2);
const [width, height] = size.split("x").map(Number);
const states = { ...STATES, settings: state(), "settings-in-call": state({ screen: call() }) };
const all = Object.keys(states).flatMap((name) => (name.startsWith("in-call") ? [name] : [name, `${name}-dark`]));

mkdirSync(folder, { recursive: true });
const harness = await Harness.open();
for (const name of names.length > 0 ? names : all) {
  const [base, dark] = name.endsWith("-dark") ? [name.slice(0, -"-dark".length), true] : [name, false];
  const page = await harness.page(states[base], { width, height, colorScheme: dark ? "dark" : "light" });
  await page.evaluate(() => window.mock.emit("microphone-level", { level: 0.62 }));
  if (base.startsWith("settings")) await page.click("[data-action=settings]");
  // In a call the controls come with the pointer.
  else await page.mouse.move(width / 2, height / 3);
  if ((await page.locator("canvas:not([hidden])").count()) > 0) await page.waitForTimeout(400);
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  if (page.faults.length > 0) console.log(name, page.faults);
  await page.context().close();
  try {
    execFileSync("pngquant", ["--force", "--ext", ".png", "--quality", "70-95", "--speed", "1", path]);
  } catch {
    console.log(`${path}: not made smaller (pngquant is not installed)`);
  }
}
await harness.close();
