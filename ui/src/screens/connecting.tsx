// Someone is found; the two apps are connecting.

import type { Screen } from "../generated/contract";
import { words, wordsFor } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { Centred, Heading } from "../parts/layout";
import { About, Avatar, InCommon, Sentence } from "../parts/person";

const t = words.connecting;

interface ConnectingProps extends View {
  screen: Extract<Screen, { kind: "connecting" }>;
}

export function Connecting({ screen, ...view }: ConnectingProps) {
  const { partner, timedOut, canRetry, problem } = screen;
  const { act, state } = view;
  const slow = { what: t.timedOut, todo: canRetry ? t.timedOutTodo : t.timedOutWait };
  const notice = problem === null ? timedOut && slow : wordsFor(problem);
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
      {notice && (
        <div class="notice" role="alert" data-trouble={problem ?? undefined}>
          <p>
            <strong>{notice.what}</strong>
          </p>
          {notice.todo !== undefined && <p>{notice.todo}</p>}
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
