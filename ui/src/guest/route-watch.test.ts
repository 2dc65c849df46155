import { describe, expect, it } from "vitest";

import {
  arrived,
  REPEAT_MS,
  RouteWatch,
  SAMPLE_MS,
  SILENCE_MS,
  STEADY_SILENCE_MS,
} from "./route-watch";

/** Samples for `ms`, in which `perSample` packets and `other` else arrive between two; returns what is reported. */
function rig() {
  const watch = new RouteWatch();
  const sums = { packets: 0, total: 0 };
  let nowMs = 0;
  return (ms: number, perSample: number, other: number) => {
    const news: [number, string][] = [];
    for (const start = nowMs; nowMs < start + ms;) {
      nowMs += SAMPLE_MS;
      sums.packets += perSample;
      sums.total += perSample + other;
      const seen = watch.sample(nowMs, { ...sums });
      if (seen) news.push([nowMs - start, seen]);
    }
    return news;
  };
}

describe("the route of a guest's call", () => {
  it("is silent soon where media came steadily", () => {
    const pass = rig();
    expect(pass(5000, 12, 0)).toEqual([]);
    expect(pass(2000, 0, 0)).toEqual([[STEADY_SILENCE_MS, "silent"]]);
    expect(pass(1000, 12, 0)).toEqual([[SAMPLE_MS, "heard"]]);
  });

  it("is silent soon whenever the media ends between two samples", () => {
    for (const last of [1, 2, 3, 4]) {
      const pass = rig();
      pass(5000, 12, 0);
      pass(SAMPLE_MS, last, 0);
      expect(pass(2000, 0, 0), `${last} packets`).toEqual([[STEADY_SILENCE_MS, "silent"]]);
    }
  });

  it("is not silent while checks are answered", () => {
    const pass = rig();
    expect(pass(10_000, 0, 1)).toEqual([]);
    expect(pass(SILENCE_MS, 0, 0)).toEqual([[SILENCE_MS, "silent"]]);
  });

  it("is not heard because figures vanish", () => {
    const watch = new RouteWatch();
    watch.sample(0, { packets: 0, total: 0 });
    watch.sample(SAMPLE_MS, { packets: 12, total: 500 });
    expect(watch.sample(2000, { packets: 12, total: 500 })).toBe("silent");
    expect(watch.sample(2250, { packets: 12, total: 12 })).toBeNull();
    expect(watch.sample(2500, { packets: 12, total: 14 })).toBe("heard");
  });

  it("is reported again while it stays silent", () => {
    const pass = rig();
    pass(1000, 12, 0);
    const times = pass(40_000, 0, 0).map(([at]) => at);
    expect(times, "at growing intervals").toEqual(
      [0, 1, 3, 7].map((time) => STEADY_SILENCE_MS + time * REPEAT_MS),
    );
    pass(1000, 12, 0);
    const again = pass(8000, 0, 0).map(([at]) => at);
    expect(again, "from the start").toEqual([STEADY_SILENCE_MS, STEADY_SILENCE_MS + REPEAT_MS]);
  });

  it("sums up what browsers count", () => {
    const entries = [
      { type: "inbound-rtp", packetsReceived: 7 },
      { type: "inbound-rtp", packetsReceived: 3 },
      { type: "candidate-pair", bytesReceived: 100, responsesReceived: 2 },
      { type: "outbound-rtp", packetsSent: 50 },
    ];
    const stats = new Map(entries.map((entry, id) => [String(id), entry]));
    expect(arrived(stats as unknown as RTCStatsReport)).toEqual({ packets: 10, total: 112 });
  });
});
