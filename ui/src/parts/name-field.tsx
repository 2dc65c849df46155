// The user's name, on the home screen and in the settings.

import { MAX_USER_NAME_CHARS } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { TextField } from "./text-field";

const t = words.profile;

export function NameField({ id, state, page, act }: View & { id: string }) {
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
        }}
        maxLength={2 * MAX_USER_NAME_CHARS}
        onChange={() => void act.commitName()}
      />
    </div>
  );
}
