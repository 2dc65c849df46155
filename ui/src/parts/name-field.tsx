// The user's name, on the home screen and in the settings.

import { useEffect, useRef } from "preact/hooks";

import { MAX_USER_NAME_CHARS } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { TextField } from "./text-field";

const t = words.profile;

/** After a pause of this length in typing, in ms, others see the name. */
export const PAUSE_MS = 800;

export function NameField({ id, state, page, act }: View & { id: string }) {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
    },
    [],
  );
  return (
    <div class="field">
      <label for={id}>{t.name}</label>
      <TextField
        id={id}
        autocomplete="nickname"
        spellcheck={false}
        dir="auto"
        placeholder={t.namePlaceholder}
        value={page.drafts.name ?? state.settings.name}
        onText={(name) => {
          act.draft({ name });
          clearTimeout(timer.current);
          timer.current = setTimeout(() => void act.commitName(), PAUSE_MS);
        }}
        maxLength={2 * MAX_USER_NAME_CHARS}
        onChange={() => void act.commitName()}
      />
    </div>
  );
}
