// For `cargo xtask bench call`: a call between two Chromium browsers in separate process trees.
//
//   node bench.mjs --signaling ws://127.0.0.1:9000/ws [--seconds 20]
//
// Prints one JSON event per line: `connected` with the browsers' process ids, `ending` just before
// the hang-up, and `report`.

import { Browser, parse, print, sleep } from "./driver.mjs";

const options = parse(process.argv.slice(2), {
  signaling: "",
  room: "bench",
  name: "Browser",
  codec: "h264",
  source: "pattern",
  width: 1280,
  height: 720,
  fps: 30,
  seconds: 20,
});
/** The start of the call is not measured, because the bitrate is still rising. */
const SETTLING_MS = 3000;

const percentile = (values, share) => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
};

const browsers = [await Browser.open(), await Browser.open()];
try {
  await Promise.all(browsers.map((browser) => browser.start(options)));
  const hasFrame = (it) => it.connected && it.firstFrameAt !== null;
  await Promise.all(browsers.map((browser) => browser.until("connected, with a frame", 30, hasFrame)));
  print({ event: "connected", pids: browsers.map((browser) => browser.pid) });
  await sleep(SETTLING_MS);
  const before = await Promise.all(browsers.map((browser) => browser.snapshot()));
  await sleep(options.seconds * 1000 - SETTLING_MS);
  const after = await Promise.all(browsers.map((browser) => browser.snapshot()));
  print({ event: "ending" });
  // The reader of this event measures the processes once more before they end.
  await sleep(1000);
  const peers = after.map((end, index) => {
    const begin = before[index];
    const latencies = end.seen.latencies;
    return {
      initiator: end.initiator,
      codec: end.stats.videoReceived.codec,
      width: end.stats.videoReceived.width,
      fps: (1000 * (end.stats.videoReceived.frames - begin.stats.videoReceived.frames)) / (end.at - begin.at),
      freezes: end.stats.videoReceived.freezes - begin.stats.videoReceived.freezes,
      firstFrameMs: end.firstFrameAt - end.matchedAt,
      glassToGlassMsP50: percentile(latencies, 0.5),
      glassToGlassMsP95: percentile(latencies, 0.95),
      pictures: latencies.length,
    };
  });
  await Promise.all(browsers.map((browser) => browser.end()));
  print({ event: "report", peers });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await Promise.all(browsers.map((browser) => browser.close()));
}
