// What the user agrees to before meeting a stranger. It comes once.

import { useLayoutEffect, useRef } from "preact/hooks";

import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "./button";

const t = words.rules;

/** Escape closes it. */
export function Rules({ page, act }: View) {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = page.rulesOpen;

  useLayoutEffect(() => {
    const element = dialog.current;
    if (!element || element.open === open) return;
    if (open) element.showModal();
    else element.close();
  }, [open]);

  return (
    <dialog ref={dialog} id="rules" aria-labelledby="rules-title" onClose={act.closeRules}>
      {open && (
        <>
          <div class="dialog-head">
            <h2 id="rules-title">{t.title}</h2>
            <Button
              action="close-rules"
              icon="close"
              label={t.close}
              iconOnly
              kind="quiet"
              onClick={act.closeRules}
            />
          </div>
          <div class="dialog-body">
            <p>{t.what}</p>
            <ul class="rules">
              {t.rules.map((rule) => (
                <li key={rule}>{rule}</li>
              ))}
            </ul>
            <p class="hint">{t.devices}</p>
            <div class="buttons">
              <Button
                action="accept-rules"
                icon="check"
                label={t.accept}
                kind="primary"
                onClick={() => void act.acceptRules()}
              />
              <Button action="refuse-rules" label={t.refuse} onClick={act.closeRules} />
            </div>
          </div>
        </>
      )}
    </dialog>
  );
}
