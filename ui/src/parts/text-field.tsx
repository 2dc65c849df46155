// A line of text to type.

import type { AllHTMLAttributes } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

type Attribute =
  | "id"
  | "placeholder"
  | "aria-describedby"
  | "autocomplete"
  | "autocapitalize"
  | "spellcheck"
  | "inputmode"
  | "dir"
  | "maxLength"
  | "onChange";

const TEXT = { type: "text" } as const;
const PASSWORD = { type: "password" } as const;
const VERBATIM = {
  autocomplete: "off",
  autocapitalize: "off",
  spellcheck: false,
  dir: "ltr",
} as const;

interface TextFieldProps extends Pick<AllHTMLAttributes<HTMLInputElement>, Attribute> {
  value: string;
  /** Called as the user types; `onChange` when the user is done. */
  onText: (text: string) => void;
  /** Shows dots instead of the text. */
  secret?: boolean;
}

/**
 * Shows `value`, except while the field has the focus: then what the user types stays, whatever the
 * app says meanwhile.
 */
export function TextField({ value, onText, secret = false, ...attributes }: TextFieldProps) {
  const input = useRef<HTMLInputElement>(null);

  useLayoutEffect(() => {
    const element = input.current;
    if (!element || element === document.activeElement) return;
    if (element.value !== value) element.value = value;
  });

  return (
    <input
      {...attributes}
      ref={input}
      {...(secret ? PASSWORD : TEXT)}
      onInput={({ currentTarget }) => {
        onText(currentTarget.value);
      }}
    />
  );
}

/**
 * A field for what has to stay as it is typed, letter by letter: an address, a code, a path. Nothing
 * corrects it or suggests anything, and it reads from left to right in every language.
 */
export function VerbatimField(props: Omit<TextFieldProps, keyof typeof VERBATIM>) {
  return <TextField {...props} {...VERBATIM} />;
}
