// From the knock to the end of the call.

import { words } from "../locale";
import type { Words } from "../locale/errors.en";
import { Button } from "../parts/button";
import { Icon, Mark } from "../parts/icons";
import { Heading } from "../parts/layout";
import { Avatar, Foreign, Sentence } from "../parts/person";
import { titleOf, withName } from "../person";
import { clock } from "../time";
import type { EndReason, Phase } from "./call-events";
import { partnerOf } from "./partner";
import { Centred, DeviceMenus, DeviceProblems, DeviceToggles } from "./parts";
import { OwnVideo, Start } from "./start";
import { LocalVideo, RemoteVideo } from "./video";
import type { GuestView } from "./view";

const t = words.guest;

type Of<K extends Phase["kind"]> = GuestView & { phase: Extract<Phase, { kind: K }> };

export function Screen(view: GuestView) {
  const { phase } = view;
  switch (phase.kind) {
    case "start":
      return <Start {...view} />;
    case "knocking":
      return <Knocking {...view} phase={phase} />;
    case "connecting":
      return <Connecting {...view} phase={phase} />;
    case "inCall":
      return <InCall {...view} phase={phase} />;
    case "ended":
      return <Ended {...view} phase={phase} />;
  }
}

function Knocking({ phase, ...view }: Of<"knocking">) {
  const { ringing, sinceMs } = phase;
  const w = words.waiting;
  return (
    <Centred name="knocking">
      <div class="card">
        <OwnVideo {...view} phase={phase} />
        <Heading>{ringing ? w.ringing : w.titleRoom}</Heading>
        <p class="hint">{ringing ? w.ringingHint : w.hintInvited}</p>
        <p class="elapsed">
          {w.elapsed}{" "}
          <time id="waiting-time" role="timer">
            {clock(view.nowMs - sinceMs)}
          </time>
        </p>
        <Button action="cancel" icon="close" label={w.cancel} onClick={view.act.leave} />
      </div>
    </Centred>
  );
}

function Connecting({ phase, act }: Of<"connecting">) {
  const c = words.connecting;
  return (
    <Centred name="connecting">
      <div class="card">
        <div class="pulse">
          <Mark />
        </div>
        <Heading>
          <Sentence template={c.title} partner={partnerOf(phase.partner)} />
        </Heading>
        {phase.slow && (
          <p class="hint" role="status">
            {c.timedOut} {c.timedOutWait}
          </p>
        )}
        <Button action="cancel" icon="close" label={c.cancel} onClick={act.leave} />
      </div>
    </Centred>
  );
}

function InCall({ phase, ...view }: Of<"inCall">) {
  const { media, act } = view;
  const partner = partnerOf(phase.partner);
  const c = words.call;
  return (
    <main data-screen="in-call" class="screen call">
      <Stage {...view} phase={phase} />
      <header class="call-head">
        <div class="who">
          <Heading>
            <span class="visually-hidden">{c.title} </span>
            <Foreign text={titleOf(partner)} />
          </Heading>
        </div>
        <ul class="badges">
          {phase.partnerMuted && (
            <li class="badge attention" data-badge="partner-muted">
              <Icon name="microphoneOff" />
              <span>
                <Sentence template={c.partnerMuted} partner={partner} />
              </span>
            </li>
          )}
          <li>
            <Verified />
          </li>
        </ul>
        <time id="call-time" role="timer" aria-label={c.time}>
          {clock(view.nowMs - phase.connectedAtMs)}
        </time>
      </header>
      <div class="call-notes">
        <DeviceProblems problems={media.problems} />
        <Notes {...view} phase={phase} />
      </div>
      <div id="self-view" class="self-view" role="group" aria-label={words.lobby.previewLabel}>
        {media.camera ? (
          <LocalVideo track={media.camera} />
        ) : (
          <div class="self-view-off">
            <Icon name="cameraOff" />
            <span>{media.cameraOn ? c.localNone : c.localOff}</span>
          </div>
        )}
      </div>
      {view.devicesOpen && (
        <section class="call-devices" id="call-devices" aria-label={t.devices}>
          <DeviceMenus {...view} phase={phase} />
        </section>
      )}
      <div id="controls" class="controls" role="group" aria-label={c.controls}>
        <DeviceToggles media={media} act={act} iconOnly={false} />
        <Button
          action="devices"
          icon="settings"
          label={words.settings.title}
          describe={`${words.settings.title}: ${t.devices}`}
          kind="control"
          off={view.devicesOpen}
          onClick={act.toggleDevices}
        />
        {view.canFullScreen && (
          <Button
            action="full-screen"
            icon="fullScreen"
            label={view.isFullScreen ? t.leaveFullScreen : t.fullScreen}
            kind="control"
            onClick={act.toggleFullScreen}
          />
        )}
        <span class="divider" aria-hidden="true" />
        <Button
          action="hang-up"
          icon="hangUp"
          label={c.hangUp}
          describe={c.hangUpLabel}
          kind="danger"
          onClick={act.leave}
        />
      </div>
    </main>
  );
}

/** What the words of the invite have proved. There is no call without that. */
function Verified() {
  const { badge, details, facts } = t.verified;
  return (
    <details class="connection">
      <summary
        class="badge"
        data-badge="verified-by-code"
        data-action="call-details"
        aria-label={`${badge}: ${details}`}
      >
        <Icon name="lock" />
        <span>{badge}</span>
      </summary>
      <ul class="connection-facts">
        {facts.map((fact) => (
          <li key={fact}>
            <span>{fact}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

/** The other person's video, and what stands in its place. */
function Stage({ phase, remote, media, noVideo, act }: Of<"inCall">) {
  const { partnerCameraOff, reconnecting } = phase;
  const partner = partnerOf(phase.partner);
  const c = words.call;
  return (
    <div class="stage" onDblClick={act.toggleFullScreen}>
      <RemoteVideo
        stream={remote}
        hidden={partnerCameraOff}
        label={withName(c.remote, partner)}
        speaker={media.chosen.speaker}
        onBlocked={act.soundBlocked}
      />
      {/* The first frame covers it. */}
      <div class="stage-note">
        <Avatar partner={partner} />
        {noVideo ? (
          <>
            <p data-badge="no-video">{t.noVideo.what}</p>
            <p>{t.noVideo.todo}</p>
          </>
        ) : (
          <p data-badge={partnerCameraOff ? "partner-camera-off" : undefined}>
            <Sentence
              template={partnerCameraOff ? c.partnerCameraOff : c.waitingForVideo}
              partner={partner}
            />
          </p>
        )}
      </div>
      {reconnecting && (
        <div class="reconnecting">
          <Mark />
          <p class="badge strong" data-badge="reconnecting">
            {c.reconnecting}
          </p>
          <p>
            <Sentence template={c.reconnectingHint} partner={partner} />
          </p>
        </div>
      )}
    </div>
  );
}

function Notes({ phase, media, soundBlocked, act }: Of<"inCall">) {
  const { reconnecting, serverLost, partnerServerLost } = phase;
  return (
    <>
      {soundBlocked && (
        <Button
          action="play-sound"
          icon="speaker"
          label={t.playSound}
          kind="primary"
          onClick={act.playSound}
        />
      )}
      {serverLost && (
        <p class="note" data-note="server-lost">
          <Icon name="warning" />
          {reconnecting ? words.server.lost : words.call.serverLost}
        </p>
      )}
      {partnerServerLost && !serverLost && !reconnecting && (
        <p class="note" data-note="partner-server-lost">
          <Icon name="warning" />
          <Sentence template={words.call.partnerServerLost} partner={partnerOf(phase.partner)} />
        </p>
      )}
      {media.muted && (
        <p class="note" data-note="muted">
          <Icon name="microphoneOff" />
          {words.call.youAreMuted}
        </p>
      )}
    </>
  );
}

/** Ends that one of the two chose: nothing went wrong. */
const ORDERLY = new Set<EndReason>(["hungUp", "left"]);

function wordsFor(reason: EndReason): Words {
  switch (reason) {
    case "hungUp":
      return words.errors.HUNG_UP;
    case "left":
      return words.errors.PARTNER_LEFT;
    case "declined":
      return words.errors.DECLINED;
    case "noAnswer":
      return words.errors.NO_ANSWER;
    case "noRoute":
      return words.errors.CONNECTION_FAILED;
    case "connectionLost":
      return words.errors.PARTNER_VANISHED;
    default:
      return t.ends[reason];
  }
}

function Ended({ phase, act }: Of<"ended">) {
  const { reason, partner, durationMs } = phase;
  const e = words.ended;
  const orderly = ORDERLY.has(reason);
  const { what, todo } = wordsFor(reason);
  const failed = durationMs === null && !orderly;
  return (
    <Centred name="ended">
      <div class="card">
        <div class={`end-mark${orderly ? "" : " fault"}`}>
          {orderly ? <Mark /> : <Icon name="warning" />}
        </div>
        <Heading>{failed ? e.title.failed : e.title.ended}</Heading>
        <p id="end-reason" class="end-reason" data-reason={reason}>
          {reason === "left" && partner ? (
            <Sentence template={e.left} partner={partnerOf(partner)} />
          ) : (
            what
          )}
        </p>
        {todo !== undefined && <p class="hint">{todo}</p>}
        {durationMs !== null && (
          <p class="elapsed">
            {e.duration} <time id="call-duration">{clock(durationMs)}</time>
          </p>
        )}
        <div class="buttons">
          <Button
            action="join-again"
            icon={failed ? "refresh" : "phone"}
            label={failed ? e.retry : e.again}
            kind="primary"
            onClick={act.join}
          />
          <Button action="to-start" icon="home" label={t.back} onClick={act.toStart} />
        </div>
      </div>
    </Centred>
  );
}
