// What a private server asks for: an access token and a company's certificates. The page holds the
// token only until the app has taken it or the settings are closed.

import type { AppState, ErrorCode } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { plain } from "../text";
import { Button } from "./button";
import { Problems } from "./problems";
import { TextField } from "./text-field";

const t = words.settings.access;

/** The problems that a token or a certificate may solve. */
const NEEDS_ACCESS = new Set<ErrorCode>([
  "SIGNALING_TOKEN_NEEDED",
  "SIGNALING_TOKEN_REFUSED",
  "SIGNALING_TOKEN_EXPOSED",
  "SIGNALING_TLS_UNTRUSTED",
]);

/** Closed by default, because most users need neither. */
export function ServerAccess(view: View) {
  return (
    <details class="server-access" open={isInteresting(view.state)}>
      <summary>{t.title}</summary>
      <div class="server-access-body">
        <Problems slot="access" {...view} />
        <Token {...view} />
        <CertificateFile {...view} />
      </div>
    </details>
  );
}

function isInteresting({ token, settings, server, problems }: AppState): boolean {
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

  return (
    <form
      class="field"
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
            onClick={() => void act.send({ type: "forgetToken" })}
          />
        </div>
      )}
      {/* Another token is entered after this one is forgotten. */}
      {token?.inUse !== true && (
        <>
          <div class="row">
            <TextField
              id="token"
              secret
              autocomplete="off"
              spellcheck={false}
              dir="ltr"
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
      <TextField
        id="ca-file"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        dir="ltr"
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
