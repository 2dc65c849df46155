// A dialog over the page: its heading, a button that closes it, and what it is about.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { Button } from "./button";

interface DialogProps {
  /** Its element's id, and what the names of its parts begin with. */
  id: string;
  class?: string;
  title: string;
  /** What the button that closes it is called. */
  close: string;
  open: boolean;
  onClose: () => void;
  /** Only there while it is open, so that nothing is left of the last time. */
  children: ComponentChildren;
}

/** Escape closes it, too. */
export function Dialog({ id, title, close, open, onClose, children, ...rest }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);

  useLayoutEffect(() => {
    const element = dialog.current;
    if (!element || element.open === open) return;
    if (open) element.showModal();
    else element.close();
  }, [open]);

  return (
    <dialog ref={dialog} id={id} aria-labelledby={`${id}-title`} onClose={onClose} {...rest}>
      {open && (
        <>
          <div class="dialog-head">
            <h2 id={`${id}-title`}>{title}</h2>
            <Button
              action={`close-${id}`}
              icon="close"
              label={close}
              iconOnly
              kind="quiet"
              onClick={onClose}
            />
          </div>
          <div class="dialog-body">{children}</div>
        </>
      )}
    </dialog>
  );
}
