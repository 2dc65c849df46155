// A browser as one end of a call, for the whole-system tests.
//
//   node peer.mjs --signaling ws://127.0.0.1:9000/ws --room CODE [--browser chromium|firefox] [--codec h264|vp8] [--source camera|pattern] …
//
// With `--candidates broken` it also sends candidates that do not parse, and with `--layers 2` it
// offers its video in two sizes (simulcast). Prints one JSON event per line: `searching` (in the
// room), `connected`, and `report` (after a call of `seconds`, or when the partner left).

import { Browser, parse, print, sleep } from "./driver.mjs";

const options = parse(process.argv.slice(2), {
  signaling: "",
  room: "",
  name: "Browser",
  browser: "chromium",
  codec: "h264",
  source: "camera",
  candidates: "good",
  layers: 1,
  width: 1280,
  height: 720,
  fps: 30,
  seconds: 8,
  wait: 30,
});

const browser = await Browser.open(options.browser);
try {
  await browser.start(options);
  // The first in the room makes the offer. Report `searching` only when the server has registered
  // this peer, so that the test can start the other one second.
  await browser.until("in the room", 30, (it) => it.searching || it.matchedAt !== null);
  print({ event: "searching" });
  const connected = await browser.until("connected, with a frame", options.wait, (it) => it.connected && it.firstFrameAt !== null);
  print({ event: "connected", initiator: connected.initiator });
  const deadline = Date.now() + options.seconds * 1000;
  let last = connected;
  const latencies = [...connected.seen.latencies];
  while (Date.now() < deadline && last.partnerLeft === null) {
    await sleep(200);
    last = await browser.snapshot();
    latencies.push(...last.seen.latencies);
  }
  await browser.end();
  print({ event: "report", ...last, seen: { ...last.seen, latencies }, firstFrameMs: last.firstFrameAt - last.matchedAt });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await browser.close();
}
