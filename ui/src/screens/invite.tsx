// An invite: a code to read aloud, a link to send, and a QR code to scan.

import type { ComponentChildren } from "preact";

import { words } from "../locale";
import { CopyButton } from "../parts/copy-button";
import { QrCode } from "../parts/qr-code";
import { plain } from "../text";

const t = words.invite;

export interface InviteCardProps {
  /** Such as `7-garden-lantern`. */
  code: string;
  /** `tandem://join/…`, for someone who has the app. */
  appLink: string | null;
  /** `https://…/j/…`, for anyone; `null` if the server has no page. */
  webLink: string | null;
  /** The server that connects the two, such as `chat.example.org`. */
  server: string;
}

export function InviteCard({ code, appLink, webLink, server }: InviteCardProps) {
  const link = webLink ?? appLink;
  return (
    <section class="invite" aria-label={t.title}>
      <div class="invite-main">
        <p class="hint">{t.todo}</p>
        <Code code={code} />
        <CopyButton
          action="copy-code"
          label={t.copyCode}
          kind="primary"
          text={code}
          shownIn="invite-code"
        />
      </div>
      {link !== null && <QrCode text={link} label={t.qr} />}
      {link === null && <p class="hint">{t.noLink.replace("{server}", plain(server, 80))}</p>}
      <div class="invite-links">
        {webLink !== null && (
          <Link id="invite-web-link" action="copy-web-link" label={t.webLink} url={webLink}>
            <p class="hint">{t.webLinkNote.replace("{server}", plain(server, 80))}</p>
          </Link>
        )}
        {appLink !== null && (
          <Link id="invite-app-link" action="copy-app-link" label={t.appLink} url={appLink} />
        )}
      </div>
    </section>
  );
}

/** The code in its parts: the number stands out, and a line can end after a dash. */
function Code({ code }: { code: string }) {
  const parts = plain(code, 80).split("-");
  return (
    <p id="invite-code" class="invite-code" dir="ltr">
      {parts.map((part, index) => (
        <span key={index} class={index === 0 ? "invite-number" : undefined}>
          {part}
          {index < parts.length - 1 && <span class="invite-dash">-</span>}
        </span>
      ))}
    </p>
  );
}

interface LinkProps {
  id: string;
  action: string;
  label: string;
  url: string;
  children?: ComponentChildren;
}

function Link({ id, action, label, url, children }: LinkProps) {
  return (
    <div class="field">
      <p class="field-title">{label}</p>
      <div class="row">
        <code id={id} class="invite-link">
          {url}
        </code>
        <CopyButton
          action={action}
          label={t.copyLink}
          describe={`${t.copyLink}: ${label}`}
          text={url}
          shownIn={id}
        />
      </div>
      {children}
    </div>
  );
}
