// The call, or the search, is over.

import { useState } from "preact/hooks";

import type { EndCode, Screen, Search, Settings } from "../generated/contract";
import { words, wordsElsewhere, wordsFor } from "../locale";
import type { Code, Words } from "../locale/errors.en";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { Icon, Mark } from "../parts/icons";
import { Centred, Heading } from "../parts/layout";
import { Sentence } from "../parts/person";
import { ProblemDetails } from "../parts/problems";
import { BlockNotice, ReportButton, ReportDialog } from "../parts/report";
import { personCalled } from "../person";
import { plain, serverName } from "../text";
import { clock } from "../time";

const t = words.ended;

/** Ends that one of the two chose: nothing went wrong, so no code is shown. */
const ORDERLY = new Set<EndCode>(["HUNG_UP", "CANCELLED", "PARTNER_LEFT"]);

/** What the user most likely wants: the same attempt, the next person, or the same person again. */
const RETRY = { icon: "refresh", label: t.retry } as const;
const NEXT = { icon: "search", label: t.next } as const;
const AGAIN = { icon: "phone", label: t.again } as const;

/** What is done again, if anything can be: an invite serves one call. */
function repeat(again: Search | null, failed: boolean) {
  if (again === null) return null;
  if (failed) return RETRY;
  return again.kind === "anyone" ? NEXT : AGAIN;
}

/** The user's token is never for the server of a link, so it says more to name that server. */
const NEEDS_TOKEN = new Set<Code>(["SIGNALING_TOKEN_NEEDED", "SIGNALING_TOKEN_REFUSED"]);

function wordsAt({ otherServer }: EndedProps["screen"], code: Code): Words {
  if (otherServer === null) return wordsFor(code);

  const elsewhere = wordsElsewhere(code);
  if (!NEEDS_TOKEN.has(code)) return elsewhere;
  return { ...elsewhere, what: t.privateServer.replace("{server}", plain(otherServer, 80)) };
}

/** The person nearby is gone: the server in their app can't be reached. */
const GONE = new Set<EndCode>(["RELAY_UNREACHABLE", "RELAY_REFUSED"]);

/** What to say when the person who was called is not there; `null` if that is not the reason. */
function absence({ reason, again }: EndedProps["screen"]): Words | null {
  if (again?.kind === "person" && reason === "NO_SUCH_ROOM") {
    return { what: t.away, todo: t.awayTodo };
  }
  if (again?.kind !== "nearby") return null;
  if (reason === "NO_SUCH_ROOM") return { what: t.busy, todo: t.busyNearby };
  return GONE.has(reason) ? { what: t.away, todo: t.awayNearby } : null;
}

/**
 * The server that the user is asked about, if strangers may not be met directly yet: the settings may
 * have changed since.
 */
function asksForDirect({ asksDirectAt }: EndedProps["screen"], settings: Settings): string | null {
  return settings.strangerRelay ? asksDirectAt : null;
}

/** The stranger of the call that is over can still be reported and blocked. */
function LastStranger({ state: { stranger }, act }: View) {
  const [reporting, setReporting] = useState(false);
  if (stranger === null) return null;
  return (
    <>
      <BlockNotice block={stranger.block} />
      <ReportButton
        kind="quiet"
        onClick={() => {
          setReporting(true);
        }}
      />
      <ReportDialog
        stranger={stranger}
        open={reporting}
        act={act}
        onClose={() => {
          setReporting(false);
        }}
      />
    </>
  );
}

/** Asked once for each server. */
function AskForDirect({ server, ...view }: View & { server: string }) {
  const { act } = view;
  const allow = async () => {
    if (await act.send({ type: "allowStrangerDirect", server })) return;
    await act.send({ type: "next" });
  };
  return (
    <Centred name="ended" {...view}>
      <div class="end-mark">
        <Icon name="direct" />
      </div>
      <Heading>{t.direct.title}</Heading>
      <p id="end-reason" class="end-reason" data-reason="NO_TURN_SERVER">
        {t.direct.what.replace("{server}", () => serverName(server))}
      </p>
      <p class="hint">{t.direct.todo}</p>
      <div class="buttons">
        <Button
          action="allow-direct"
          icon="direct"
          label={t.direct.allow}
          kind="primary"
          onClick={() => void allow()}
        />
        <Button
          action="to-lobby"
          icon="home"
          label={t.home}
          onClick={() => void act.send({ type: "toLobby" })}
        />
      </div>
      <LastStranger {...view} />
    </Centred>
  );
}

interface EndedProps extends View {
  screen: Extract<Screen, { kind: "ended" }>;
}

export function Ended({ screen, ...view }: EndedProps) {
  const { reason, cause, problem, durationMs } = screen;
  const { act } = view;
  // What is wrong with the server says more than that it could not be reached, and why no connection
  // came up more than that none did.
  const code = cause ?? problem ?? reason;
  const { mismatch } = screen;
  const { what, todo } =
    mismatch === null ? (absence(screen) ?? wordsAt(screen, code)) : t.mismatch[mismatch];
  const orderly = ORDERLY.has(reason);
  const failed = durationMs === null && !orderly;
  const again = repeat(screen.again, failed);
  const asked = asksForDirect(screen, view.state.settings);
  if (asked !== null) return <AskForDirect {...view} server={asked} />;
  return (
    <Centred name="ended" {...view}>
      <div class={`end-mark${orderly ? "" : " fault"}`}>
        {orderly ? <Mark /> : <Icon name="warning" />}
      </div>
      <Heading>{failed ? t.title.failed : t.title.ended}</Heading>
      <p id="end-reason" class="end-reason" data-reason={reason}>
        {reason === "PARTNER_LEFT" ? (
          <Sentence template={t.left} partner={personCalled(screen.name)} />
        ) : (
          what
        )}
      </p>
      {todo !== undefined && <p class="hint">{todo}</p>}
      {durationMs !== null && (
        <p class="elapsed">
          {t.duration} <time id="call-duration">{clock(durationMs)}</time>
        </p>
      )}
      <div class="buttons">
        {again && (
          <Button
            action="search-again"
            icon={again.icon}
            label={again.label}
            kind="primary"
            onClick={() => void act.send({ type: "next" })}
          />
        )}
        {mismatch === "spentInvite" && (
          <Button
            action="invite"
            icon="link"
            label={t.newInvite}
            kind="primary"
            onClick={() => void act.withServer({ type: "invite" })}
          />
        )}
        <Button
          action="to-lobby"
          icon="home"
          label={t.home}
          onClick={() => void act.send({ type: "toLobby" })}
        />
      </div>
      <LastStranger {...view} />
      {!orderly && <ProblemDetails code={code} />}
    </Centred>
  );
}
