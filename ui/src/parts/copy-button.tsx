// A button that copies text, and says that it did.

import { useEffect, useState } from "preact/hooks";

import { copyKeys } from "../keys";
import { words } from "../locale";
import { Button, type ButtonProps } from "./button";

const t = words.copy;

/** How long the button says what happened, in ms: long enough to read two words. */
const SHOWN_MS = 2500;

type Outcome = "copied" | "selected";

const wordsFor = (outcome: Outcome) => t[outcome].replace("{keys}", copyKeys());

interface CopyButtonProps extends Pick<ButtonProps, "action" | "label" | "describe" | "kind"> {
  text: string;
  /** The id of the element that shows `text`, to be selected when the clipboard is refused. */
  shownIn: string;
}

export function CopyButton({ text, shownIn, label, describe, ...button }: CopyButtonProps) {
  const [outcome, setOutcome] = useState<Outcome | null>(null);

  useEffect(() => {
    if (outcome === null) return undefined;
    const timer = setTimeout(() => {
      setOutcome(null);
    }, SHOWN_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [outcome]);
  // Another text has not been copied.
  useEffect(() => {
    setOutcome(null);
  }, [text]);

  return (
    <span class="copy">
      <Button
        {...button}
        icon={outcome === "copied" ? "check" : "copy"}
        label={outcome === null ? label : wordsFor(outcome)}
        {...(describe !== undefined && outcome === null ? { describe } : {})}
        onClick={() => {
          void copy(text, shownIn).then(setOutcome);
        }}
      />
      <span class="visually-hidden" role="status">
        {outcome !== null && wordsFor(outcome)}
      </span>
    </span>
  );
}

/** Copies `text`. Where the web view refuses twice, the text is selected for the user to copy. */
async function copy(text: string, shownIn: string): Promise<Outcome> {
  try {
    await navigator.clipboard.writeText(text);
    return "copied";
  } catch {
    const shown = document.getElementById(shownIn);
    if (!shown) return "selected";
    getSelection()?.selectAllChildren(shown);
    return copySelection() ? "copied" : "selected";
  }
}

/** The old way, which WebKitGTK allows without a permission. */
function copySelection(): boolean {
  try {
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other one
    return document.execCommand("copy");
  } catch {
    return false;
  }
}
