// Screenshots of the page with a mocked app: `npm run screens [-- FOLDER [WIDTHxHEIGHT
// [NAME[-dark]…]]]`. Without names: all screens, light and dark. `TEXT_PX=32` is the system's text
// size, `FORCED_COLORS=active` a contrast theme.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { Harness } from "./harness.mjs";
import { STATES } from "./states.mjs";

const [folder = "../out/screens", size = "1280x800", ...names] = process.argv.slice(2);
const [width, height] = size.split("x").map(Number);
const states = {
  ...STATES,
  settings: STATES.lobby,
  "settings-in-call": STATES["in-call"],
  "verification-words": STATES["in-call"],
  "verification-code": STATES["in-call-verified-by-code"],
  "verification-user": STATES["in-call-verified-by-user"],
};
// The call is dark in both themes; dialogs over it are not.
const themes = (name) => (name.startsWith("in-call") ? [name] : [name, `${name}-dark`]);
const all = Object.keys(states).flatMap(themes);

mkdirSync(folder, { recursive: true });
const harness = await Harness.open();
for (const name of names.length > 0 ? names : all) {
  const dark = name.endsWith("-dark");
  const base = dark ? name.slice(0, -"-dark".length) : name;
  const colorScheme = dark ? "dark" : "light";
  const page = await harness.page(states[base], {
    width,
    height,
    colorScheme,
    textPx: Number(process.env.TEXT_PX ?? 16),
    forcedColors: process.env.FORCED_COLORS ?? "none",
  });
  await page.evaluate(() => window.mock.emit("microphone-level", { level: 0.62 }));
  if (base.startsWith("settings")) {
    await page.keyboard.press("Control+,");
    // What is special about them is at the end of the dialog.
    if (base === "settings-access" || base === "settings-token") {
      await page.evaluate(() => document.querySelector(".server-access").scrollIntoView());
    }
  }
  // Moving the pointer shows the controls of a call.
  else await page.mouse.move(width / 2, height / 3);
  if (base.startsWith("verification")) await page.locator("[data-action=verification]").click();
  if ((await page.locator("canvas:not([hidden])").count()) > 0) await page.waitForTimeout(400);

  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  if (page.faults.length > 0) console.log(name, page.faults);
  await page.context().close();
  try {
    const options = ["--force", "--ext", ".png", "--quality", "70-95", "--speed", "1"];
    execFileSync("pngquant", [...options, path]);
  } catch {
    console.log(`${path}: not compressed (pngquant is not installed)`);
  }
}
await harness.close();
