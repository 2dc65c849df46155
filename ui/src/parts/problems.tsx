// Problems, each in its place: what is wrong, one thing to do, and details for a bug report.

import type { ProblemPlace } from "../generated/contract";
import { type Code, words, wordsFor } from "../locale";
import type { View } from "../page-state";
import { plain } from "../text";
import { Button } from "./button";
import { Icon } from "./icons";

/** Parts of a screen that show problems. `top` takes those that have no part of their own. */
export type Slot =
  | "top"
  | "camera"
  | "microphone"
  | "speaker"
  | "host"
  | "nearby"
  | "room"
  | "invite"
  | "dialog"
  | "access";

/** Where a problem is shown now: exactly one slot on every screen. */
export function slotOf(place: ProblemPlace, { state, page }: Pick<View, "state" | "page">): Slot {
  const lobby = state.screen.kind === "lobby";
  const device = place === "camera" || place === "microphone" || place === "speaker";
  if (page.settingsOpen || page.setup) {
    if (place === "server" || place === "settings") return "dialog";
    if (place === "access") return page.settingsOpen ? "access" : "dialog";
    // The dialog holds the device menus, except on the home screen, which shows them itself.
    if (device && !lobby) return place;
  }
  if (lobby && device) return place;
  if (lobby && !page.setup) {
    // With the list of people nearby open, the rest is out of sight.
    if (state.nearby.open) return place === "host" || place === "nearby" ? "nearby" : "top";
    if (place === "host" || place === "nearby" || place === "room" || place === "invite")
      return place;
  }
  return "top";
}

/** The problems of one part of the screen. */
export function Problems({ slot, ...view }: View & { slot: Slot }) {
  const { state, page, act } = view;
  const here = state.problems.filter(({ place }) => slotOf(place, view) === slot);
  const refusal = page.refusal && slotOf(page.refusal.place, view) === slot ? page.refusal : null;
  if (here.length === 0 && !refusal) return null;
  return (
    <div class="problems">
      {here.map(({ id, code, detail, place }) => (
        <ProblemCard
          key={id}
          code={code}
          detail={detail}
          onDismiss={() => void act.send({ type: "dismissProblem", id })}
          onRetry={
            canRetry(place, code, state)
              ? () => void act.send({ type: "refreshDevices" })
              : undefined
          }
        />
      ))}
      {refusal && (
        <ProblemCard
          key={`refusal ${refusal.code}`}
          code={refusal.code}
          detail={refusal.detail}
          onDismiss={act.dismissRefusal}
        />
      )}
    </div>
  );
}

interface ProblemCardProps {
  code: Code;
  detail: string | null;
  onDismiss: () => void;
  onRetry?: (() => void) | undefined;
}

/**
 * Whether a device may work this time. No attempt changes what the two sides have agreed on, and
 * the home screen has no speaker open.
 */
function canRetry(place: ProblemPlace, code: Code, state: View["state"]): boolean {
  if (code.endsWith("_NOT_NEGOTIATED")) return false;
  if (place === "speaker") return state.screen.kind !== "lobby";
  return place === "camera" || place === "microphone";
}

function ProblemCard({ code, detail, onDismiss, onRetry }: ProblemCardProps) {
  return (
    <div class="problem" role="alert" data-problem={code}>
      <Icon name="warning" />
      <div class="problem-words">
        <ProblemWords code={code} />
        {onRetry && (
          <Button
            action="retryDevices"
            label={words.problem.retry}
            kind="secondary"
            onClick={onRetry}
          />
        )}
        <ProblemDetails code={code} detail={detail} />
      </div>
      <Button
        action="dismiss"
        icon="close"
        label={words.problem.dismiss}
        iconOnly
        kind="quiet"
        onClick={onDismiss}
      />
    </div>
  );
}

/** For a bug report: the code and the cause. Closed, because no one needs them to act. */
export function ProblemDetails({ code, detail = null }: { code: Code; detail?: string | null }) {
  return (
    <details class="problem-details">
      <summary>{words.problem.details}</summary>
      <p>
        {words.problem.code} <code class="problem-code">{plain(code, 60)}</code>
      </p>
      {detail !== null && <p class="problem-detail">{plain(detail, 300)}</p>}
    </details>
  );
}

/** What is wrong, and one thing to do where there is one. */
export function ProblemWords({ code }: { code: Code }) {
  const { what, todo } = wordsFor(code);
  return (
    <>
      <p class="problem-what">{what}</p>
      {todo !== undefined && <p class="problem-todo">{todo}</p>}
    </>
  );
}
