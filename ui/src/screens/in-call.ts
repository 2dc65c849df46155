// The call: the partner's picture has the window; everything else lies over it and goes away when nobody needs it.

import { h, type ElementNode } from "../dom/node";
import type { InCall } from "../generated/contract";
import { words } from "../locale";
import type { ViewContext } from "../page-state";
import { about, avatar, nameOf } from "../parts/avatar";
import { button } from "../parts/button";
import { heading } from "../parts/frame";
import { bars, icon, mark, type IconName } from "../parts/icons";
import { problems } from "../parts/problems";
import { foreign } from "../text";
import { clock } from "../time";

const t = words.call;

export function inCall(call: InCall, context: ViewContext): ElementNode {
  const { page } = context;
  const { partner } = call;
  return h(
    "main",
    { key: "in-call", "data-screen": "in-call", class: "screen call", "data-idle": page.idle ? "true" : null },
    h("div", { class: "stage", key: "stage" }, stage(call)),
    h(
      "header",
      { class: "call-head", key: "head" },
      h(
        "div",
        { class: "who" },
        heading(h("span", { class: "visually-hidden" }, `${t.title} `), foreign(nameOf(partner))),
        about(partner),
      ),
      badges(call),
      h("time", { id: "call-time", role: "timer", "aria-label": t.time }, clock(page.nowMs - call.connectedAtMs)),
    ),
    h("div", { class: "call-notes", key: "notes" }, problems("top", context), notes(call)),
    ownPicture(call),
    controls(call, context),
  );
}

function stage(call: InCall): (ElementNode | false)[] {
  const { partnerCameraOff, partnerReconnecting, partner } = call;
  return [
    h("canvas", { id: "remote", key: "remote", role: "img", "aria-label": t.remote, hidden: partnerCameraOff }),
    // Behind the picture until the first one comes.
    h(
      "div",
      { class: "stage-note", key: "note" },
      avatar(partner),
      h("p", {}, partnerCameraOff ? t.badges.partnerCameraOffTitle : t.waitingForPicture),
    ),
    partnerReconnecting &&
      h(
        "div",
        { class: "reconnecting", key: "reconnecting" },
        mark(),
        h("p", { class: "badge strong", "data-badge": "reconnecting" }, t.badges.reconnecting),
        h("p", {}, t.reconnectingHint),
      ),
  ];
}

function badge(name: string, title: string, glyph: ElementNode, text: string, level = ""): ElementNode {
  return h("li", { class: `badge ${level}`, "data-badge": name, title, key: name }, glyph, h("span", {}, text));
}

function badges(call: InCall): ElementNode {
  const { encrypted, route, quality, partnerMuted, partnerCameraOff } = call;
  const b = t.badges;
  const named = (name: string, glyph: IconName, text: string, title: string, level?: string) =>
    badge(name, title, icon(glyph), text, level);
  return h(
    "ul",
    { class: "badges" },
    encrypted && named("encrypted", "lock", b.encrypted, b.encryptedTitle),
    route !== null && named("route", route, b[route], route === "direct" ? b.directTitle : b.relayedTitle),
    quality !== null &&
      badge("quality", b.qualityTitle[quality], bars(quality), b.quality[quality], `quality-${quality}`),
    partnerMuted && named("partner-muted", "microphoneOff", b.partnerMuted, b.partnerMutedTitle, "attention"),
    partnerCameraOff &&
      named("partner-camera-off", "cameraOff", b.partnerCameraOff, b.partnerCameraOffTitle, "attention"),
  );
}

function notes({ relayLost, muted }: InCall): (ElementNode | false)[] {
  return [
    relayLost && h("p", { class: "note", key: "relay-lost", "data-note": "relay-lost" }, icon("warning"), t.relayLost),
    muted && h("p", { class: "note", key: "muted", "data-note": "muted" }, icon("microphoneOff"), t.youAreMuted),
  ];
}

function ownPicture({ cameraOn, sendsVideo }: InCall): ElementNode {
  const shown = cameraOn && sendsVideo;
  return h(
    "div",
    { id: "own", class: "own", tabindex: 0, role: "group", "aria-label": t.local, key: "own" },
    h("canvas", { id: "local", key: "local", class: "mirrored", "aria-hidden": "true", hidden: !shown }),
    !shown &&
      h("div", { class: "own-off", key: "off" }, icon("cameraOff"), h("span", {}, cameraOn ? t.localNone : t.localOff)),
  );
}

function controls({ muted, cameraOn }: InCall, { act }: ViewContext): ElementNode {
  return h(
    "div",
    { id: "controls", class: "controls", role: "group", "aria-label": t.controls, key: "controls" },
    button({
      action: "mute",
      icon: muted ? "microphoneOff" : "microphone",
      label: muted ? t.unmute : t.mute,
      describe: muted ? t.unmuteLabel : t.muteLabel,
      kind: "control",
      off: muted,
      onClick: () => void act.send("set_muted", { muted: !muted }),
    }),
    button({
      action: "camera",
      icon: cameraOn ? "camera" : "cameraOff",
      label: cameraOn ? t.cameraOff : t.cameraOn,
      describe: cameraOn ? t.cameraOffLabel : t.cameraOnLabel,
      kind: "control",
      off: !cameraOn,
      onClick: () => void act.send("set_camera_on", { on: !cameraOn }),
    }),
    button({ action: "settings", icon: "settings", label: t.devices, kind: "control", onClick: act.openSettings }),
    h("span", { class: "divider", "aria-hidden": "true" }),
    button({
      action: "next",
      icon: "next",
      label: t.next,
      describe: t.nextLabel,
      kind: "control",
      onClick: () => void act.send("next", undefined),
    }),
    button({
      action: "hang-up",
      icon: "hangUp",
      label: t.hangUp,
      describe: t.hangUpLabel,
      kind: "danger",
      onClick: () => void act.send("hang_up", undefined),
    }),
  );
}
