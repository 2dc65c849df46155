// What other people see of the user: a picture, a name, an age and a place, and how that looks; and
// what the user likes to talk about.

import { useRef } from "preact/hooks";

import {
  MAX_INTEREST_CHARS,
  MAX_INTERESTS,
  MAX_USER_LOCATION_CHARS,
  type Partner,
} from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { profilePicture } from "../picture";
import { nameOf } from "../person";
import { Button } from "./button";
import { NameField } from "./name-field";
import { About, Avatar, Foreign } from "./person";
import { TextField } from "./text-field";

const t = words.profile;

export function Profile(view: View) {
  const { state, page, act } = view;
  const { settings } = state;
  return (
    <>
      <Picture {...view} />
      <NameField id="profile-name" {...view} />
      <div class="field-row">
        <div class="field">
          <label for="profile-age">{t.age}</label>
          <TextField
            id="profile-age"
            inputmode="numeric"
            autocomplete="off"
            maxLength={3}
            value={page.drafts.age ?? settings.age?.toString() ?? ""}
            onText={(age) => {
              act.draft({ age });
            }}
            onChange={act.commitAbout}
          />
        </div>
        <div class="field">
          <label for="profile-location">{t.location}</label>
          <TextField
            id="profile-location"
            autocomplete="off"
            spellcheck={false}
            dir="auto"
            maxLength={MAX_USER_LOCATION_CHARS}
            value={page.drafts.location ?? settings.location}
            onText={(location) => {
              act.draft({ location });
            }}
            onChange={act.commitAbout}
          />
        </div>
      </div>
      <div class="field">
        <label for="profile-interests">{t.interests}</label>
        <TextField
          id="profile-interests"
          autocomplete="off"
          dir="auto"
          aria-describedby="profile-interests-hint"
          maxLength={MAX_INTERESTS * (MAX_INTEREST_CHARS + 2)}
          value={page.drafts.interests ?? settings.interests.join(", ")}
          onText={(interests) => {
            act.draft({ interests });
          }}
          onChange={act.commitInterests}
        />
        <p id="profile-interests-hint" class="hint">
          {t.interestsHint}
        </p>
      </div>
      <Shown {...view} />
    </>
  );
}

function Picture({ state, act }: View) {
  const input = useRef<HTMLInputElement>(null);
  // Of the user's choices, the last one counts, however long the pictures before it take.
  const choices = useRef(0);
  const choose = async (file: File) => {
    const choice = ++choices.current;
    // The app says what is wrong with a picture. It refuses an empty one.
    const picture = (await profilePicture(file)) ?? "";
    if (choice === choices.current) await act.send({ type: "setPicture", picture });
  };
  const remove = () => {
    choices.current += 1;
    void act.send({ type: "setPicture", picture: null });
  };
  return (
    <div class="buttons">
      <input
        ref={input}
        id="picture-file"
        type="file"
        accept="image/*"
        hidden
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          if (file) void choose(file);
          // The same file can be chosen again.
          currentTarget.value = "";
        }}
      />
      <Button
        action="choose-picture"
        icon="person"
        label={state.picture === null ? t.addPicture : t.changePicture}
        onClick={() => input.current?.click()}
      />
      {state.picture !== null && (
        <Button
          action="remove-picture"
          icon="close"
          label={t.removePicture}
          kind="quiet"
          onClick={remove}
        />
      )}
    </div>
  );
}

/** What the app has, as the other person's window shows it. */
function Shown({ state }: View) {
  const { name, age, location } = state.settings;
  const self: Partner = { name, age, location, picture: state.picture };
  return (
    <figure class="shown-profile" data-testid="shown-profile">
      <figcaption class="hint">{t.shown}</figcaption>
      <div class="person-card">
        <Avatar partner={self} />
        <div>
          <p class="person-name">
            {nameOf(self) === null ? words.anonymous.start : <Foreign text={name} limit={60} />}
          </p>
          <About partner={self} />
        </div>
      </div>
    </figure>
  );
}
