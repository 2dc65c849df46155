// The call: the partner's video fills the window. Everything else lies over it and hides when idle.

import type { ComponentChildren } from "preact";

import type { InCall as Call } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { DeviceButtons } from "../parts/device-toggles";
import { Bars, Icon, Mark } from "../parts/icons";
import { Heading } from "../parts/layout";
import { About, Avatar, Foreign, Sentence } from "../parts/person";
import { Problems } from "../parts/problems";
import { titleOf, withName } from "../person";
import { clock } from "../time";

const t = words.call;

export function InCall({ call, ...view }: View & { call: Call }) {
  const { page } = view;
  const { partner } = call;
  return (
    <main data-screen="in-call" class="screen call" data-idle={page.idle ? "true" : undefined}>
      <Stage call={call} />
      <header class="call-head">
        <div class="who">
          <Heading>
            <span class="visually-hidden">{t.title} </span>
            <Foreign text={titleOf(partner)} />
          </Heading>
          <About partner={partner} />
        </div>
        <Badges call={call} />
        <time id="call-time" role="timer" aria-label={t.time}>
          {clock(page.nowMs - call.connectedAtMs)}
        </time>
      </header>
      <div class="call-notes">
        <Problems slot="top" {...view} />
        <Notes call={call} />
      </div>
      <SelfView call={call} />
      <Controls call={call} {...view} />
    </main>
  );
}

/** The partner's video, and what stands in its place. `frames/` draws on the canvas. */
function Stage({ call }: { call: Call }) {
  const { partner, partnerCameraOff, partnerReconnecting } = call;
  const b = t.badges;
  return (
    <div class="stage">
      <canvas
        id="remote"
        role="img"
        aria-label={withName(t.remote, partner)}
        hidden={partnerCameraOff}
      />
      {/* The first frame covers it. */}
      <div class="stage-note">
        <Avatar partner={partner} />
        <p>
          <Sentence
            template={partnerCameraOff ? b.partnerCameraOffTitle : t.waitingForVideo}
            partner={partner}
          />
        </p>
      </div>
      {partnerReconnecting && (
        <div class="reconnecting">
          <Mark />
          <p class="badge strong" data-badge="reconnecting">
            {b.reconnecting}
          </p>
          <p>
            <Sentence template={t.reconnectingHint} partner={partner} />
          </p>
        </div>
      )}
    </div>
  );
}

interface BadgeProps {
  name: string;
  text: string;
  /** The tooltip: what the badge means. */
  title: string;
  icon: ComponentChildren;
  level?: string;
}

function Badge({ name, text, title, icon, level = "" }: BadgeProps) {
  return (
    <li class={`badge ${level}`} data-badge={name} title={title}>
      {icon}
      <span>{text}</span>
    </li>
  );
}

function Badges({ call }: { call: Call }) {
  const { partner, encrypted, route, quality, partnerMuted, partnerCameraOff } = call;
  const b = t.badges;
  return (
    <ul class="badges">
      {encrypted && (
        <Badge
          name="encrypted"
          text={b.encrypted}
          title={b.encryptedTitle}
          icon={<Icon name="lock" />}
        />
      )}
      {route !== null && (
        <Badge
          name="route"
          text={b[route]}
          title={route === "direct" ? b.directTitle : b.relayedTitle}
          icon={<Icon name={route} />}
        />
      )}
      {quality !== null && (
        <Badge
          name="quality"
          text={b.quality[quality]}
          title={b.qualityTitle[quality]}
          icon={<Bars quality={quality} />}
          level={`quality-${quality}`}
        />
      )}
      {partnerMuted && (
        <Badge
          name="partner-muted"
          text={b.partnerMuted}
          title={withName(b.partnerMutedTitle, partner)}
          icon={<Icon name="microphoneOff" />}
          level="attention"
        />
      )}
      {partnerCameraOff && (
        <Badge
          name="partner-camera-off"
          text={b.partnerCameraOff}
          title={withName(b.partnerCameraOffTitle, partner)}
          icon={<Icon name="cameraOff" />}
          level="attention"
        />
      )}
    </ul>
  );
}

function Notes({ call }: { call: Call }) {
  return (
    <>
      {call.serverLost && (
        <p class="note" data-note="server-lost">
          <Icon name="warning" />
          {call.partnerReconnecting ? words.server.unreachable : t.serverLost}
        </p>
      )}
      {call.partnerServerLost && !call.serverLost && !call.partnerReconnecting && (
        <p class="note" data-note="partner-server-lost">
          <Icon name="warning" />
          <Sentence template={t.partnerServerLost} partner={call.partner} />
        </p>
      )}
      {call.muted && (
        <p class="note" data-note="muted">
          <Icon name="microphoneOff" />
          {t.youAreMuted}
        </p>
      )}
    </>
  );
}

/** The user's own video. `self-view.ts` moves it. */
function SelfView({ call }: { call: Call }) {
  const { cameraOn, sendsVideo } = call;
  const shown = cameraOn && sendsVideo;
  return (
    <div id="self-view" class="self-view" tabindex={0} role="group" aria-label={t.local}>
      <canvas id="local" class="mirrored" aria-hidden="true" hidden={!shown} />
      {!shown && (
        <div class="self-view-off">
          <Icon name="cameraOff" />
          <span>{cameraOn ? t.localNone : t.localOff}</span>
        </div>
      )}
    </div>
  );
}

function Controls({ call, act }: View & { call: Call }) {
  const { muted, cameraOn } = call;
  return (
    <div id="controls" class="controls" role="group" aria-label={t.controls}>
      <DeviceButtons muted={muted} cameraOn={cameraOn} act={act} />
      <Button
        action="settings"
        icon="settings"
        label={words.settings.title}
        kind="control"
        onClick={act.openSettings}
      />
      <span class="divider" aria-hidden="true" />
      {/* Who was called by a code is not left for a stranger by one wrong click. */}
      {!call.known && (
        <Button
          action="next"
          icon="next"
          label={t.next}
          describe={t.nextLabel}
          kind="control"
          onClick={() => void act.send({ type: "next" })}
        />
      )}
      <Button
        action="hang-up"
        icon="hangUp"
        label={t.hangUp}
        describe={t.hangUpLabel}
        kind="danger"
        onClick={() => void act.send({ type: "hangUp" })}
      />
    </div>
  );
}
