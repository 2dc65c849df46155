// A person who rings, and an invite that was opened: both wait for the user's answer.

import type { IncomingCall as IncomingCallState } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { plain } from "../text";
import { Button } from "./button";
import { IncomingCall } from "./incoming-call";

const t = words.opened;

/** How the person got here. Who waits for a guest must not take another caller for that one. */
function aboutCall({ kind, byInvite }: IncomingCallState, isWaiting: boolean): string | null {
  const t = words.incoming;
  if (byInvite) return kind === "nearby" ? t.nearbyInvited : t.invited;
  if (kind === "invited") return null;
  if (isWaiting) return t.notInvited[kind];
  return kind === "nearby" ? t.nearby : null;
}

/** Who rings now, if anyone does. */
export function Incoming({ state, act }: View) {
  const { incoming } = state;
  if (incoming === null) return null;
  const { id, name, picture } = incoming;
  const { cameraEnabled, camera } = state.settings;
  const accept = (video: boolean) => void act.call({ type: "acceptCall", id, video });
  return (
    <IncomingCall
      key={id}
      name={name ?? ""}
      picture={picture}
      room={aboutCall(incoming, state.invitation !== null)}
      onAccept={() => {
        accept(true);
      }}
      onAcceptSound={
        cameraEnabled && camera !== "none"
          ? () => {
              accept(false);
            }
          : null
      }
      onDecline={() => void act.send({ type: "declineCall", id })}
    />
  );
}

/** An invite that was opened as a link: where it leads, and the click that it waits for. */
export function Opened({ state, act }: View) {
  const { opened } = state;
  if (opened === null) return null;
  const server = plain(opened.server ?? "", 80);
  const where = opened.otherServer ? t.otherServer : t.ownServer;
  const join = () =>
    opened.server === null
      ? act.withServer({ type: "joinOpened" })
      : act.call({ type: "joinOpened" });
  return (
    <section class="opened" aria-label={t.title} role="alert">
      <h2>{t.title}</h2>
      <p class="invite-code" dir="ltr">
        {plain(opened.code, 80)}
      </p>
      <p class="hint">{opened.server === null ? t.noServer : where.replace("{server}", server)}</p>
      {opened.exposed && <p class="notice">{words.server.exposed}</p>}
      <div class="buttons">
        <Button
          action="join-opened"
          icon="phone"
          label={t.join}
          kind="primary"
          onClick={() => void join()}
        />
        <Button
          action="dismiss-opened"
          label={t.dismiss}
          onClick={() => void act.send({ type: "dismissOpened" })}
        />
      </div>
    </section>
  );
}
