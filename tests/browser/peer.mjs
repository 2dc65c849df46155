// One browser as one end of a call, for the whole-system tests.
//
//   node peer.mjs --signaling ws://127.0.0.1:9000/ws --room CODE [--codec h264|vp8] [--source camera|pattern] …
//
// With `--candidates broken` it sends candidates that do not parse besides its good ones.
// Says on standard output, a line of JSON each: `searching` (in the room), `connected`, `report` (after `seconds` of
// call, or when the partner left).

import { Browser, parse, sleep, tell } from "./driver.mjs";

const options = parse(process.argv.slice(2), {
  signaling: "",
  room: "",
  name: "Browser",
  codec: "h264",
  source: "camera",
  candidates: "good",
  width: 1280,
  height: 720,
  fps: 30,
  seconds: 8,
  wait: 30,
});

const browser = await Browser.open();
try {
  await browser.start(options);
  // Whoever is in the room first makes the offer: the next one may come only when the relay knows of this one.
  await browser.until("in the room", 30, (it) => it.searching || it.matchedAt !== null);
  tell({ event: "searching" });
  const met = await browser.until("connected, with a picture", options.wait, (it) => it.connected && it.firstFrameAt !== null);
  tell({ event: "connected", initiator: met.initiator });
  const deadline = Date.now() + options.seconds * 1000;
  let last = met;
  const latencies = [...met.seen.latencies];
  while (Date.now() < deadline && last.partnerLeft === null) {
    await sleep(200);
    last = await browser.snapshot();
    latencies.push(...last.seen.latencies);
  }
  await browser.end();
  tell({ event: "report", ...last, seen: { ...last.seen, latencies }, firstFrameMs: last.firstFrameAt - last.matchedAt });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await browser.close();
}
