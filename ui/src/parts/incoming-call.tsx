// Someone is calling: who, and two answers.

import { useLayoutEffect, useRef, useState } from "preact/hooks";

import type { Partner } from "../generated/contract";
import { words } from "../locale";
import { titleOf } from "../person";
import { plain } from "../text";
import { Button } from "./button";
import { Avatar, Foreign, Sentence } from "./person";

const t = words.incoming;

/** What a person types into: the focus stays there, so that no key goes to an answer by accident. */
const TEXT_FIELD = "input:not([type=checkbox]), textarea, select, [contenteditable]";

/**
 * For how long the answers take no click, in ms: the card moves what is below it, so a click may be
 * meant for what was there before. 500 ms is how long desktops wait for the second click of two.
 */
export const GUARD_MS = 500;

export interface IncomingCallProps {
  /** As the caller wrote it; may be empty. */
  name: string;
  /** A `data:image/` URL. */
  picture: string | null;
  /** What the call is about, such as "From your invite 7"; `null` for nothing. */
  room: string | null;
  /** Accepts, with the camera as it is. */
  onAccept: () => void;
  /** Accepts with sound only; `null`: the camera is off anyway. */
  onAcceptSound: (() => void) | null;
  onDecline: () => void;
}

/**
 * Give it the knock's id as `key`, so that another call is announced again and guarded again. Escape does nothing: a
 * call is not declined by a key that was meant for something else.
 */
export function IncomingCall({
  name,
  picture,
  room,
  onAccept,
  onAcceptSound,
  onDecline,
}: IncomingCallProps) {
  const card = useRef<HTMLElement>(null);
  const [guarded, setGuarded] = useState(true);
  const caller: Partner = { name, picture, age: null, location: null };

  useLayoutEffect(() => {
    const element = card.current;
    const before = document.activeElement;
    // The card, not a button: a key that is already on its way must not answer.
    if (!before?.closest(TEXT_FIELD)) element?.focus();
    return () => {
      if (!element?.contains(document.activeElement)) return;
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);

  useLayoutEffect(() => {
    const timer = setTimeout(() => {
      setGuarded(false);
    }, GUARD_MS);
    return () => {
      clearTimeout(timer);
    };
  }, []);

  return (
    <section ref={card} class="incoming" tabindex={-1} aria-label={t.title}>
      {/* Rendered once and never changed, so it is spoken once. */}
      <p class="visually-hidden" role="alert">
        <Sentence template={t.announce} partner={caller} />
      </p>
      <Avatar partner={caller} />
      <div class="incoming-words">
        <h2>
          <Foreign text={titleOf(caller)} />
        </h2>
        <p class="hint">{room === null ? t.calling : plain(room, 80)}</p>
      </div>
      <div class="incoming-answers">
        <Button
          action="decline-call"
          icon="hangUp"
          label={t.decline}
          kind="danger"
          disabled={guarded}
          onClick={onDecline}
        />
        {onAcceptSound && (
          <Button
            action="accept-sound"
            icon="cameraOff"
            label={t.acceptSound}
            disabled={guarded}
            onClick={onAcceptSound}
          />
        )}
        <Button
          action="accept-call"
          icon="phone"
          label={t.accept}
          kind="primary"
          disabled={guarded}
          onClick={onAccept}
        />
      </div>
    </section>
  );
}
