// Who is at the other end of a call: what the badge says, what that protects from, and the safety
// words to compare.

import type { BadgeKind, InCall, Verification } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { Icon, type IconName } from "./icons";

const t = words.call.verification;

/** A verified call has a mark of its own, so that nobody has to tell two colors apart. */
export function badgeIcon(badge: BadgeKind): IconName {
  switch (badge) {
    case "verifiedByCode":
    case "verifiedByUser":
      return "shield";
    case "notVerified":
      return "lock";
  }
}

/** Says how far the other person is verified. A click explains it and shows the words. */
export function VerificationBadge({ call, onOpen }: { call: InCall; onOpen: () => void }) {
  const { badge } = call.verification;
  return (
    <li>
      <button
        type="button"
        class="badge button-badge"
        data-badge="verification"
        data-action="verification"
        data-verification={badge}
        aria-haspopup="dialog"
        aria-label={`${t.badge[badge]}: ${t.open}`}
        onClick={onOpen}
      >
        <Icon name={badgeIcon(badge)} />
        <span>{t.badge[badge]}</span>
      </button>
    </li>
  );
}

interface DialogProps extends Pick<View, "act"> {
  verification: Verification;
  /** Whether the two know each other: a stranger's voice proves nothing. */
  known: boolean;
  open: boolean;
  onClose: () => void;
}

/** The call goes on while it is open. */
export function VerificationDialog({ verification, known, open, onClose, act }: DialogProps) {
  return (
    <Dialog
      id="verification"
      class="verification"
      title={t.title}
      close={t.close}
      open={open}
      onClose={onClose}
    >
      <Explanation verification={verification} known={known} />
      <Words verification={verification} known={known} act={act} />
    </Dialog>
  );
}

/** What the badge says, and what that protects from. */
function Explanation({ verification, known }: Pick<DialogProps, "verification" | "known">) {
  const { badge, byInvite } = verification;
  const isStranger = badge === "verifiedByUser" && !known;
  return (
    <div class="verification-state">
      <p role="status" class="verification-badge-text">
        <Icon name={badgeIcon(badge)} />
        <strong>{t.badge[badge]}</strong>
      </p>
      <p>{isStranger ? t.verifiedStranger : t.explanation[badge]}</p>
      {byInvite === "inviter" && <p class="hint">{t.browser}</p>}
    </div>
  );
}

function Words({ verification, known, act }: Pick<DialogProps, "verification" | "known" | "act">) {
  const { badge, words: state } = verification;
  if (state.status === "byCode") return null;
  if (state.status !== "ready") {
    return (
      <p role="status" class="hint">
        {t[state.status]}
      </p>
    );
  }

  const { words: shown } = state;
  const compared = (equal: boolean) => () =>
    void act.send({ type: "wordsCompared", words: shown, equal });
  return (
    <section class="verification-words" aria-labelledby="safety-words-title">
      <h3 id="safety-words-title">{t.words}</h3>
      <p>{t.compare}</p>
      <ol class="safety-words" lang="en">
        {shown.map((word, index) => (
          <li key={index}>{word}</li>
        ))}
      </ol>
      <div class="buttons">
        {badge !== "verifiedByUser" && (
          <Button
            action="words-match"
            icon="check"
            label={t.match}
            kind="primary"
            onClick={compared(true)}
          />
        )}
        <Button
          action="words-differ"
          icon="hangUp"
          label={t.differ}
          kind={badge === "verifiedByUser" ? "secondary" : "danger"}
          onClick={compared(false)}
        />
      </div>
      <p class="hint">{t.differNote}</p>
      <p class="hint">{known ? t.voice : t.voiceStranger}</p>
    </section>
  );
}
