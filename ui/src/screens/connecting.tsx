// Someone is found; the two apps are connecting.

import type { ConnectingStep, Screen } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { Icon } from "../parts/icons";
import { Centred, Heading } from "../parts/layout";
import { About, Avatar, Sentence } from "../parts/person";
import { clock } from "../time";

const t = words.connecting;
const STEPS: ConnectingStep[] = ["exchanging", "checking"];

interface ConnectingProps extends View {
  screen: Extract<Screen, { kind: "connecting" }>;
}

export function Connecting({ screen, ...view }: ConnectingProps) {
  const { partner, step, startedAtMs, timedOut } = screen;
  const { page, act } = view;
  return (
    <Centred name="connecting" {...view}>
      <div class="pulse">
        <Avatar partner={partner} />
      </div>
      <Heading>
        <Sentence template={t.title} partner={partner} />
      </Heading>
      <About partner={partner} />
      <Steps current={step} />
      {timedOut && (
        <div class="notice" role="alert">
          <p>
            <strong>{t.timedOut}</strong>
          </p>
          <p>{t.timedOutTodo}</p>
        </div>
      )}
      <div class="buttons">
        {timedOut && (
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
      <p class="elapsed small">
        {t.elapsed}{" "}
        <time id="connecting-time" role="timer">
          {clock(page.nowMs - startedAtMs)}
        </time>
      </p>
    </Centred>
  );
}

function Steps({ current }: { current: ConnectingStep }) {
  const at = STEPS.indexOf(current);
  return (
    <ol class="steps">
      {STEPS.map((step, index) => {
        const status = index < at ? "done" : index === at ? "now" : "later";
        return (
          <li
            key={step}
            class={`step ${status}`}
            aria-current={status === "now" ? "step" : undefined}
          >
            <span class="step-mark">{status === "done" && <Icon name="check" />}</span>
            <span>{t.steps[step]}</span>
          </li>
        );
      })}
    </ol>
  );
}
