// The call: the partner's video fills the window. Everything else lies over it and hides when idle.

import type { ComponentChildren, TargetedKeyboardEvent } from "preact";
import { useState } from "preact/hooks";

import type { InCall as Call } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { DeviceButtons } from "../parts/device-toggles";
import { Bars, Icon, Mark } from "../parts/icons";
import { Heading } from "../parts/layout";
import { About, Avatar, Foreign, InCommon, Sentence } from "../parts/person";
import { Problems } from "../parts/problems";
import { ReportBadge, ReportDialog } from "../parts/report";
import { badgeIcon, VerificationBadge, VerificationDialog } from "../parts/verification";
import { titleOf, withName } from "../person";
import { clock } from "../time";

const t = words.call;

export function InCall({ call, ...view }: View & { call: Call }) {
  const { page } = view;
  const { partner, verification } = call;
  const { stranger } = view.state;
  const [verifying, setVerifying] = useState(false);
  const [reporting, setReporting] = useState(false);
  const verify = () => {
    setVerifying(true);
  };

  return (
    <>
      <main data-screen="in-call" class="screen call" data-idle={page.idle ? "true" : undefined}>
        <Stage call={call} act={view.act} nowMs={page.nowMs} />
        <header class="call-head">
          <div class="who">
            <Heading>
              <span class="visually-hidden">{t.title} </span>
              <Foreign text={titleOf(partner)} />
            </Heading>
            <About partner={partner} />
            {stranger && <InCommon interests={stranger.interests} />}
          </div>
          <Badges call={call} onVerify={verify} />
          <time id="call-time" role="timer" aria-label={t.time}>
            {clock(page.nowMs - call.connectedAtMs)}
          </time>
          {stranger && (
            <ReportBadge
              onClick={() => {
                setReporting(true);
              }}
            />
          )}
        </header>
        <div class="call-notes">
          <Problems slot="top" {...view} />
          <Notes call={call} />
        </div>
        <SelfView call={call} />
        <Controls call={call} {...view} />
      </main>
      {stranger && (
        <ReportDialog
          stranger={stranger}
          open={reporting}
          act={view.act}
          onClose={() => {
            setReporting(false);
          }}
        />
      )}
      <VerificationDialog
        verification={verification}
        known={call.known}
        open={verifying}
        act={view.act}
        onClose={() => {
          setVerifying(false);
        }}
      />
    </>
  );
}

/** The partner's video, and what stands in its place. `frames/` draws on the canvas. */
function Stage({ call, act, nowMs }: Pick<View, "act"> & { call: Call; nowMs: number }) {
  const { partner, partnerCameraOff, reconnectingUntilMs } = call;
  return (
    <div class="stage" onDblClick={() => void act.send({ type: "toggleFullScreen" })}>
      <canvas
        id="remote"
        role="img"
        aria-label={withName(t.remote, partner)}
        hidden={partnerCameraOff}
      />
      {/* The first frame covers it. */}
      <div class="stage-note">
        <Avatar partner={partner} />
        <p data-badge={partnerCameraOff ? "partner-camera-off" : undefined}>
          <Sentence
            template={partnerCameraOff ? t.partnerCameraOff : t.waitingForVideo}
            partner={partner}
          />
        </p>
      </div>
      {reconnectingUntilMs !== null && (
        <div class="reconnecting">
          <Mark />
          <p class="badge strong" data-badge="reconnecting">
            {t.reconnecting}{" "}
            <time id="time-left" role="timer" aria-label={t.reconnectingEnds}>
              {clock(Math.max(0, reconnectingUntilMs - nowMs))}
            </time>
          </p>
          <p>
            <Sentence template={t.reconnectingHint} partner={partner} />
          </p>
        </div>
      )}
    </div>
  );
}

/** What is worth knowing about the other side now, and how good the connection is. */
function Badges({ call, onVerify }: { call: Call; onVerify: () => void }) {
  const { partner, partnerMuted, partnerRefusesAudio, partnerRefusesVideo } = call;
  const { muted, cameraOn, sendsVideo } = call;
  return (
    <ul class="badges">
      {partnerMuted && (
        <li class="badge attention" data-badge="partner-muted">
          <Icon name="microphoneOff" />
          <span>
            <Sentence template={t.partnerMuted} partner={partner} />
          </span>
        </li>
      )}
      {partnerRefusesAudio && !muted && (
        <Refusal name="partner-refuses-audio" icon="microphoneOff" partner={partner}>
          {t.partnerRefusesAudio}
        </Refusal>
      )}
      {partnerRefusesVideo && cameraOn && sendsVideo && (
        <Refusal name="partner-refuses-video" icon="cameraOff" partner={partner}>
          {t.partnerRefusesVideo}
        </Refusal>
      )}
      {call.encrypted && <VerificationBadge call={call} onOpen={onVerify} />}
      <li>
        <Connection call={call} onVerify={onVerify} />
      </li>
    </ul>
  );
}

/** What is sent and does not get through, because the other side does not want it. */
function Refusal(props: {
  name: string;
  icon: "microphoneOff" | "cameraOff";
  partner: Call["partner"];
  children: string;
}) {
  return (
    <li class="badge attention" data-badge={props.name}>
      <Icon name={props.icon} />
      <span>
        <Sentence template={props.children} partner={props.partner} />
      </span>
    </li>
  );
}

/** How good the connection is. When opened, all that is known about it. */
function Connection({ call, onVerify }: { call: Call; onVerify: () => void }) {
  const { encrypted, route, quality, verification } = call;
  const c = t.connection;
  const short = quality === null ? c.unknown : c.quality[quality];
  return (
    <details class="connection" onKeyDown={closeOnEscape}>
      <summary
        class={`badge${quality === null ? "" : ` quality-${quality}`}`}
        data-badge={quality === null ? undefined : "quality"}
        data-action="call-details"
        aria-label={quality === null ? c.details : `${short}: ${c.details}`}
      >
        {quality === null ? <Icon name="info" /> : <Bars quality={quality} />}
        <span>{short}</span>
      </summary>
      <ul class="connection-facts">
        <Fact
          name="quality-words"
          icon={<Icon name="info" />}
          text={quality === null ? c.qualityUnknown : c.qualityWords[quality]}
        />
        {route !== null && (
          <Fact
            name="route"
            icon={<Icon name={route} />}
            text={route === "direct" ? c.direct : c.relayed}
          />
        )}
        {encrypted && (
          <Fact
            name="encrypted"
            icon={<Icon name={badgeIcon(verification.badge)} />}
            text={t.verification.badge[verification.badge]}
          />
        )}
        {encrypted && (
          <li>
            <Button action="verify" label={c.verify} onClick={onVerify} />
          </li>
        )}
      </ul>
    </details>
  );
}

function Fact({ name, icon, text }: { name: string; icon: ComponentChildren; text: string }) {
  return (
    <li data-badge={name}>
      {icon}
      <span>{text}</span>
    </li>
  );
}

function closeOnEscape(event: TargetedKeyboardEvent<HTMLDetailsElement>): void {
  const { currentTarget, key } = event;
  if (key !== "Escape" || !currentTarget.open) return;
  event.preventDefault();
  currentTarget.open = false;
  currentTarget.querySelector("summary")?.focus();
}

function Notes({ call }: { call: Call }) {
  return (
    <>
      {call.serverLost && (
        <p class="note" data-note="server-lost">
          <Icon name="warning" />
          {call.reconnectingUntilMs !== null ? words.server.lost : t.serverLost}
        </p>
      )}
      {call.partnerServerLost && !call.serverLost && call.reconnectingUntilMs === null && (
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

function Controls({ call, state, act }: View & { call: Call }) {
  const { muted, cameraOn } = call;
  const { singleKeyShortcuts } = state.settings;
  return (
    <div id="controls" class="controls" role="group" aria-label={t.controls}>
      <DeviceButtons muted={muted} cameraOn={cameraOn} keys={singleKeyShortcuts} act={act} />
      <Button
        action="settings"
        icon="settings"
        label={words.settings.title}
        keys="settings"
        kind="control"
        onClick={act.openSettings}
      />
      <span class="divider" aria-hidden="true" />
      {/* One wrong click does not leave a person one knows for a stranger. */}
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
        keys="hangUp"
        kind="danger"
        onClick={() => void act.send({ type: "hangUp" })}
      />
    </div>
  );
}
