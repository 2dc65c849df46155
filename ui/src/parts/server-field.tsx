// The address of the server, in the settings and where one has to be chosen.

import type { Screen } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { VerbatimField } from "./text-field";

const t = words.settings;

/** A search or a call keeps the server with which it began. */
const BUSY = new Set<Screen["kind"]>(["waiting", "connecting", "inCall"]);

interface ServerFieldProps extends View {
  id: string;
  /** Called when the user has typed an address. */
  onChange?: () => void;
}

export function ServerField({ id, onChange, state, page, act }: ServerFieldProps) {
  const { exposed } = state.server;
  const busy = BUSY.has(state.screen.kind);
  return (
    <div class="field">
      <label for={id}>{t.serverUrl}</label>
      <VerbatimField
        id={id}
        inputmode="url"
        placeholder={t.serverPlaceholder}
        aria-describedby={`${id}-hint`}
        value={page.drafts.serverUrl ?? state.settings.serverUrl ?? ""}
        onText={(serverUrl) => {
          act.draft({ serverUrl });
        }}
        onChange={onChange}
      />
      <p id={`${id}-hint`} class="hint">
        {state.host.status === "on" ? t.hosting : t.serverHint}
      </p>
      {busy && (
        <p class="hint" data-note="next-call">
          {t.serverNextCall}
        </p>
      )}
      {exposed && <p class="notice">{words.server.exposed}</p>}
    </div>
  );
}
