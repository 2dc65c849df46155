// Searching: for anyone, or for the person with the same code. The user sees what the other person
// is about to see, and can still change it.

import type { Screen } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { DeviceToggles } from "../parts/device-toggles";
import { Icon } from "../parts/icons";
import { Centred, Heading } from "../parts/layout";
import { plain } from "../text";
import { clock } from "../time";

const t = words.waiting;

interface WaitingProps extends View {
  screen: Extract<Screen, { kind: "waiting" }>;
}

export function Waiting({ screen, ...view }: WaitingProps) {
  const { room, startedAtMs, sendsVideo } = screen;
  const { page, act } = view;
  return (
    <Centred name="waiting" {...view}>
      <LocalVideo {...view} sendsVideo={sendsVideo} />
      <Heading>{room === null ? t.title : t.titleRoom}</Heading>
      <p class="hint">{room === null ? t.hint : t.hintRoom}</p>
      {room !== null && (
        <p class="room">
          <bdi>{plain(room)}</bdi>
        </p>
      )}
      <p class="elapsed">
        {t.elapsed}{" "}
        <time id="waiting-time" role="timer">
          {clock(page.nowMs - startedAtMs)}
        </time>
      </p>
      <Button
        action="cancel"
        icon="close"
        label={t.cancel}
        onClick={() => void act.send({ type: "cancel" })}
      />
    </Centred>
  );
}

/** The local video, with the buttons for what the other person will hear and see. */
function LocalVideo({ sendsVideo, ...view }: View & { sendsVideo: boolean }) {
  const { cameraEnabled } = view.state.settings;
  const shown = cameraEnabled && sendsVideo;
  return (
    <div class="waiting-view">
      <canvas
        id="local"
        class="mirrored"
        role="img"
        aria-label={words.lobby.previewLabel}
        hidden={!shown}
      />
      {!shown && (
        <div class="self-view-off">
          <Icon name="cameraOff" />
          <span>{cameraEnabled ? words.call.localNone : words.call.localOff}</span>
        </div>
      )}
      <DeviceToggles {...view} />
    </div>
  );
}
