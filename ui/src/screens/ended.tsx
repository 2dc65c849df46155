// The call, or the search, is over.

import type { EndCode, Screen } from "../generated/contract";
import { words, wordsFor } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { Icon, Mark } from "../parts/icons";
import { Centred, Heading } from "../parts/layout";
import { plain } from "../text";
import { clock } from "../time";

const t = words.ended;

/** Ends that one of the two chose: nothing went wrong, so no code is shown. */
const ORDERLY = new Set<EndCode>(["HUNG_UP", "CANCELLED", "PARTNER_LEFT"]);

interface EndedProps extends View {
  screen: Extract<Screen, { kind: "ended" }>;
}

export function Ended({ screen, ...view }: EndedProps) {
  const { reason, cause, durationMs, room } = screen;
  const { act } = view;
  // What is wrong with the server says more than that it could not be reached.
  const code = cause ?? reason;
  const { what, todo } = wordsFor(code);
  const orderly = ORDERLY.has(reason);
  const failed = durationMs === null && !orderly;
  return (
    <Centred name="ended" {...view}>
      <div class={`end-mark${orderly ? "" : " fault"}`}>
        {orderly ? <Mark /> : <Icon name="warning" />}
      </div>
      <Heading>{failed ? t.title.failed : t.title.ended}</Heading>
      <p id="end-reason" class="end-reason" data-reason={reason}>
        {what}
      </p>
      {todo !== undefined && <p class="hint">{todo}</p>}
      {durationMs !== null && (
        <p class="elapsed">
          {t.duration} <time id="call-duration">{clock(durationMs)}</time>
        </p>
      )}
      <div class="buttons">
        <Button
          action="search-again"
          icon="search"
          label={room === null ? t.again : t.againRoom}
          kind="primary"
          onClick={() => void act.send({ type: "next" })}
        />
        <Button
          action="to-lobby"
          icon="home"
          label={t.home}
          onClick={() => void act.send({ type: "toLobby" })}
        />
      </div>
      {!orderly && <p class="problem-code">{plain(code, 60)}</p>}
    </Centred>
  );
}
