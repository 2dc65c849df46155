// Someone is found; the two apps are connecting.

import type { Screen } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { Centred, Heading } from "../parts/layout";
import { About, Avatar, InCommon, Sentence } from "../parts/person";

const t = words.connecting;

interface ConnectingProps extends View {
  screen: Extract<Screen, { kind: "connecting" }>;
}

export function Connecting({ screen, ...view }: ConnectingProps) {
  const { partner, timedOut, canRetry } = screen;
  const { act, state } = view;
  return (
    <Centred name="connecting" {...view}>
      <div class="pulse">
        <Avatar partner={partner} />
      </div>
      <Heading>
        <Sentence template={t.title} partner={partner} />
      </Heading>
      <About partner={partner} />
      {state.stranger && <InCommon interests={state.stranger.interests} />}
      {timedOut && (
        <div class="notice" role="alert">
          <p>
            <strong>{t.timedOut}</strong>
          </p>
          <p>{canRetry ? t.timedOutTodo : t.timedOutWait}</p>
        </div>
      )}
      <div class="buttons">
        {timedOut && canRetry && (
          <Button
            action="retry"
            icon="refresh"
            label={t.retry}
            kind="primary"
            onClick={() => void act.send({ type: "retry" })}
          />
        )}
        <Button
          action="cancel"
          icon="close"
          label={t.cancel}
          onClick={() => void act.send({ type: "cancel" })}
        />
      </div>
    </Centred>
  );
}
