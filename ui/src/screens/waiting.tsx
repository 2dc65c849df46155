// Searching: for anyone, or for the person with the same code.

import type { Screen } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { Mark } from "../parts/icons";
import { Centred, Heading } from "../parts/layout";
import { plain } from "../text";
import { clock } from "../time";

const t = words.waiting;

interface WaitingProps extends View {
  screen: Extract<Screen, { kind: "waiting" }>;
}

export function Waiting({ screen, ...view }: WaitingProps) {
  const { room, startedAtMs } = screen;
  const { page, act } = view;
  return (
    <Centred name="waiting" {...view}>
      <div class="pulse">
        <Mark />
      </div>
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
