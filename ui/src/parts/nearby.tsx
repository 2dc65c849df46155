// The people on the same network, and what to do when someone is not among them.

import { useLayoutEffect, useRef } from "preact/hooks";

import type { NearbyPerson } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { personCalled, titleOf, withName } from "../person";
import { plain } from "../text";
import { Button } from "./button";
import { CopyButton } from "./copy-button";
import { Host } from "./host";
import { Heading } from "./layout";
import { NameField } from "./name-field";
import { Avatar, Foreign } from "./person";
import { Problems } from "./problems";
import { QrCode } from "./qr-code";
import { Switch } from "./switch";
import { VerbatimField } from "./text-field";

const t = words.nearby;

export function PeopleNearby(view: View) {
  const { state, act } = view;
  const { nearby } = state;
  return (
    <div class="nearby" data-nearby={nearby.status}>
      <header class="nearby-head">
        <div class="greeting">
          <Heading>{t.title}</Heading>
          <p class="hint">{t.hint}</p>
        </div>
        <Button
          action="close-nearby"
          icon="close"
          label={t.close}
          iconOnly
          kind="quiet"
          onClick={() => void act.send({ type: "closeNearby" })}
        />
      </header>
      <Problems slot="nearby" {...view} />
      <NameField id="name" {...view} />
      <People {...view} />
      <NotThere {...view} />
      <AlwaysNearby id="always-nearby" {...view} />
      <details class="nearby-host">
        <summary>{t.host}</summary>
        <Host {...view} />
      </details>
    </div>
  );
}

/** Whether others find this user also while the list is closed. */
export function AlwaysNearby({ id, state, act }: View & { id: string }) {
  return (
    <Switch
      id={id}
      label={t.always}
      hint={t.alwaysHint}
      on={state.settings.alwaysNearby}
      onSwitch={(on) => void act.send({ type: "setAlwaysNearby", on })}
    />
  );
}

function People({ state, act }: View) {
  const { status, people } = state.nearby;
  if (people.length === 0) {
    return (
      <p class="nearby-nobody" role="status">
        {status === "on" ? t.nobody : t.starting}
      </p>
    );
  }
  return (
    <ul class="nearby-people" aria-label={t.title}>
      {people.map((person) => (
        <Person
          key={person.id}
          person={person}
          onCall={() => void act.call({ type: "callNearby", id: person.id })}
        />
      ))}
    </ul>
  );
}

function Person({ person, onCall }: { person: NearbyPerson; onCall: () => void }) {
  const shown = personCalled(person.name);
  return (
    <li class="recent">
      <Avatar partner={shown} />
      <p class="recent-words recent-name">
        <Foreign text={titleOf(shown)} limit={60} />
      </p>
      <Button
        action="call-nearby"
        icon="phone"
        label={t.call}
        describe={withName(t.callLabel, shown)}
        onClick={onCall}
      />
    </li>
  );
}

/** Why someone may be missing, and the other way to each other: an address. */
function NotThere(view: View) {
  const { state, page, act } = view;
  const { reach, addresses, link } = state.nearby;
  const [likeliest] = addresses;
  const silent = reach === "silent";
  const details = useRef<HTMLDetailsElement>(null);
  // Opens by itself once it is needed. The user closes it.
  useLayoutEffect(() => {
    if (silent && details.current) details.current.open = true;
  }, [silent]);
  return (
    <>
      <div role="status">
        {silent && (
          <p class="notice" data-note="silent">
            {likeliest === undefined ? t.noNetwork : t.silent}
          </p>
        )}
      </div>
      <details ref={details} class="nearby-missing">
        <summary>{t.missing}</summary>
        <ul class="hint">
          {t.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
        {likeliest !== undefined && (
          <div class="nearby-address">
            <div>
              <p class="hint">{addresses.length === 1 ? t.yourAddress : t.yourAddresses}</p>
              <ul class="addresses">
                {addresses.map((address, index) => (
                  <li key={address}>
                    <code id={`own-address-${String(index)}`}>{plain(address, 60)}</code>
                  </li>
                ))}
              </ul>
              <CopyButton
                action="copy-address"
                label={t.copyAddress}
                text={likeliest}
                shownIn="own-address-0"
              />
            </div>
            {link !== null && <QrCode text={link} label={t.qr} />}
          </div>
        )}
        <form
          class="field"
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            const address = page.drafts.nearbyAddress.trim();
            if (address !== "") void act.call({ type: "callAddress", address });
          }}
        >
          <label for="nearby-address">{t.theirAddress}</label>
          <div class="row">
            <VerbatimField
              id="nearby-address"
              placeholder={t.addressPlaceholder}
              value={page.drafts.nearbyAddress}
              onText={(nearbyAddress) => {
                act.draft({ nearbyAddress });
              }}
            />
            <Button action="call-address" icon="phone" label={t.call} type="submit" />
          </div>
        </form>
      </details>
    </>
  );
}
