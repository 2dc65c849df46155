// The signaling server in this app, for a household that wants one computer as its server.

import { words } from "../locale";
import type { View } from "../page-state";
import { plain } from "../text";
import { Button } from "./button";
import { Problems } from "./problems";

export function Host(view: View) {
  const { host } = view.state;
  const { act } = view;
  const t = words.host;
  const starting = host.status === "starting";
  return (
    <div class={`host${host.status === "on" ? " on" : ""}`} data-host={host.status}>
      {host.status === "on" ? (
        <>
          <p class="host-title">
            <i class="dot" />
            {t.on}
          </p>
          <Addresses addresses={host.addresses} />
          <Button
            key="stop-host"
            action="stop-host"
            label={t.stop}
            kind="quiet"
            onClick={() => void act.send({ type: "stopHost" })}
          />
        </>
      ) : (
        <>
          <Button
            key="host"
            action="host"
            icon="network"
            label={starting ? t.starting : t.start}
            disabled={starting}
            onClick={() => void act.send({ type: "startHost", lan: true })}
          />
          <p class="hint">{t.hint}</p>
        </>
      )}
      <Problems slot="host" {...view} />
    </div>
  );
}

/** What to do next, and what to enter on the other computer without an invite. */
function Addresses({ addresses }: { addresses: string[] }) {
  const t = words.host;
  if (addresses.length === 0) return <p class="hint">{t.noAddress}</p>;
  return (
    <div class="host-tell">
      <p class="hint">{t.next}</p>
      <details>
        <summary>{t.byAddress}</summary>
        <p class="hint">{addresses.length === 1 ? t.tellOne : t.tellMany}</p>
        <ul class="addresses">
          {addresses.map((address) => (
            <li key={address}>
              <code>{plain(address, 100)}</code>
            </li>
          ))}
        </ul>
      </details>
    </div>
  );
}
