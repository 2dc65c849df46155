// Asks once before closing the window ends a call.

import { useLayoutEffect, useRef } from "preact/hooks";

import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "./button";

const t = words.confirmClose;

/** Escape means to stay. */
export function ConfirmClose({ state, act }: View) {
  const dialog = useRef<HTMLDialogElement>(null);
  const asked = state.confirmClose;

  useLayoutEffect(() => {
    const element = dialog.current;
    if (!element || element.open === asked) return;
    if (asked) element.showModal();
    else element.close();
  }, [asked]);

  const answer = (close: boolean) => void act.send({ type: "confirmClose", close });
  return (
    <dialog
      ref={dialog}
      id="confirm-close"
      class="confirm"
      aria-labelledby="confirm-close-title"
      onCancel={(event) => {
        event.preventDefault();
        answer(false);
      }}
    >
      {asked && (
        <>
          <h2 id="confirm-close-title">{t.title}</h2>
          <div class="buttons">
            <Button
              action="stay"
              label={t.stay}
              kind="primary"
              onClick={() => {
                answer(false);
              }}
            />
            <Button
              action="close-anyway"
              icon="hangUp"
              label={t.close}
              kind="danger"
              onClick={() => {
                answer(true);
              }}
            />
          </div>
        </>
      )}
    </dialog>
  );
}
