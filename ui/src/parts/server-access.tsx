// What a private server asks for: an access token and a company's certificates. The page holds the
// token only until the app has taken it or the settings are closed.

import { useLayoutEffect, useRef, useState } from "preact/hooks";

import type { AppState, ErrorCode } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { plain } from "../text";
import { Button } from "./button";
import { Problems } from "./problems";
import { VerbatimField } from "./text-field";

const t = words.settings.access;

/** The problems that a token or a certificate may solve. */
const NEEDS_ACCESS = new Set<ErrorCode>([
  "SIGNALING_TOKEN_NEEDED",
  "SIGNALING_TOKEN_REFUSED",
  "SIGNALING_TOKEN_EXPOSED",
  "SIGNALING_TLS_UNTRUSTED",
]);

/**
 * Closed at first, because most users need neither. Opens by itself when it may help, and closes
 * only by hand: the user may be typing in it.
 */
export function ServerAccess(view: View) {
  const details = useRef<HTMLDetailsElement>(null);
  const mayHelp = canHelp(view.state);
  useLayoutEffect(() => {
    if (mayHelp && details.current) details.current.open = true;
  }, [mayHelp]);

  return (
    <details class="server-access" ref={details}>
      <summary>{t.title}</summary>
      <div class="server-access-body">
        <Problems slot="access" {...view} />
        <Token {...view} />
        <CertificateFile {...view} />
      </div>
    </details>
  );
}

function canHelp({ token, settings, server, problems }: AppState): boolean {
  return (
    token !== null ||
    settings.caFile !== null ||
    (server.cause !== null && NEEDS_ACCESS.has(server.cause)) ||
    problems.some(({ place }) => place === "access")
  );
}

function Token({ state, page, act }: View) {
  const { token } = state;
  const text = page.drafts.token;
  const server = state.settings.serverUrl === null ? null : new URL(state.settings.serverUrl).host;
  const save = async () => {
    if (text.trim() === "") return;
    const error = await act.send({ type: "setToken", token: text });
    if (!error) act.draft({ token: "" });
  };

  // After forgetting a token, the next one can be typed at once.
  const field = useRef<HTMLFormElement>(null);
  const [forgets, setForgets] = useState(false);
  useLayoutEffect(() => {
    if (!forgets || token?.inUse === true) return;
    field.current?.querySelector<HTMLElement>("#token")?.focus();
    setForgets(false);
  }, [forgets, token]);

  return (
    <form
      class="field"
      ref={field}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      {token?.inUse === true ? (
        <p class="field-title">{t.token}</p>
      ) : (
        <label for="token">{t.token}</label>
      )}
      {token !== null && (
        <div class="row token-saved" data-token={token.inUse ? "used" : "other"}>
          <p>
            {(token.thisRunOnly ? t.launched : t.saved).replace(
              "{server}",
              plain(token.server, 80),
            )}
          </p>
          <Button
            action="forget-token"
            label={t.forget}
            onClick={() => {
              setForgets(true);
              void act.send({ type: "forgetToken" });
            }}
          />
        </div>
      )}
      {/* Another token is entered after this one is forgotten. */}
      {token?.inUse !== true && (
        <>
          <div class="row">
            <VerbatimField
              id="token"
              secret
              aria-describedby="token-hint"
              value={text}
              onText={(typed) => {
                act.draft({ token: typed });
              }}
            />
            <Button
              action="save-token"
              label={t.save}
              type="submit"
              disabled={text.trim() === ""}
            />
          </div>
          <p id="token-hint" class="hint">
            {server === null ? t.tokenNoServer : t.tokenHint.replace("{server}", plain(server, 80))}
          </p>
        </>
      )}
    </form>
  );
}

function CertificateFile({ state, page, act }: View) {
  return (
    <div class="field">
      <label for="ca-file">{t.caFile}</label>
      <VerbatimField
        id="ca-file"
        aria-describedby="ca-file-hint"
        value={page.drafts.caFile ?? state.settings.caFile ?? ""}
        onText={(caFile) => {
          act.draft({ caFile });
        }}
        onChange={act.commitCaFile}
      />
      <p id="ca-file-hint" class="hint">
        {t.caFileHint}
      </p>
    </div>
  );
}
