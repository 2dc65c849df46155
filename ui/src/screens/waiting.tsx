// Searching: for anyone, or for the person with the same code. The user sees what the other person
// is about to see, and can still change it.

import type { Screen } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { DeviceToggles } from "../parts/device-toggles";
import { Icon } from "../parts/icons";
import { Incoming } from "../parts/invitations";
import { Centred, Heading } from "../parts/layout";
import { Sentence } from "../parts/person";
import { personCalled } from "../person";
import { plain } from "../text";
import { clock } from "../time";
import { togglesOf } from "../toggles";

const t = words.waiting;

interface WaitingProps extends View {
  screen: Extract<Screen, { kind: "waiting" }>;
}

export function Waiting({ screen, ...view }: WaitingProps) {
  const { search, ringing, startedAtMs, sendsVideo } = screen;
  const { page, act } = view;
  return (
    <Centred name="waiting" {...view}>
      <Incoming {...view} />
      <LocalVideo {...view} sendsVideo={sendsVideo} />
      <Goal search={search} ringing={ringing} />
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

/** The person or people that the search is for, and whether it rings there. */
function Goal({ search, ringing }: Pick<WaitingProps["screen"], "search" | "ringing">) {
  switch (search.kind) {
    case "anyone":
      return (
        <>
          <Heading>{t.title}</Heading>
          <p class="hint">{t.hint}</p>
          <p class="hint">{t.hintSeen}</p>
        </>
      );
    case "room":
      return (
        <>
          <Heading>{ringing ? t.ringing : t.titleRoom}</Heading>
          <p class="hint">
            {ringing ? t.ringingHint : search.invited ? t.hintInvited : t.hintRoom}
          </p>
          <p class="room">
            <bdi>{plain(search.code)}</bdi>
          </p>
          {search.server !== null && (
            <p class="hint">{t.server.replace("{server}", plain(search.server, 80))}</p>
          )}
        </>
      );
    case "person":
    case "nearby":
    case "answer": {
      const template = search.kind === "answer" ? words.connecting.title : t.calling;
      return (
        <>
          <Heading>
            <Sentence template={template} partner={personCalled(search.name)} />
          </Heading>
          <p class="hint">{ringing ? t.ringing : t.callingHint}</p>
        </>
      );
    }
  }
}

/** The local video, with the buttons for what the other person will hear and see. */
function LocalVideo({ sendsVideo, ...view }: View & { sendsVideo: boolean }) {
  const { cameraOn } = togglesOf(view.state);
  const shown = cameraOn && sendsVideo;
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
          <span>{cameraOn ? words.call.localNone : words.call.localOff}</span>
        </div>
      )}
      <DeviceToggles {...view} />
    </div>
  );
}
