// Asks for a server when a way to call needs one and none is chosen.

import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "./button";
import { Heading } from "./layout";
import { Problems } from "./problems";
import { ServerField } from "./server-field";

const t = words.setup;

export function ServerSetup(view: View) {
  const { page, act } = view;
  return (
    <form
      class="setup"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void act.finishSetup();
      }}
    >
      <div class="greeting">
        <Heading>{t.title}</Heading>
        <p class="hint">{t.hint}</p>
      </div>
      <ServerField id="setup-server-url" {...view} />
      <Problems slot="dialog" {...view} />
      <div class="buttons">
        <Button
          action="use-server"
          icon="check"
          label={t.use}
          kind="primary"
          type="submit"
          disabled={(page.drafts.serverUrl ?? "").trim() === ""}
        />
        <Button action="leave-setup" label={t.back} onClick={act.leaveSetup} />
      </div>
      <p class="hint">{t.nearby}</p>
      <Button
        action="nearby"
        icon="network"
        label={words.nearby.title}
        onClick={() => {
          act.leaveSetup();
          void act.welcome({ type: "openNearby" });
        }}
      />
    </form>
  );
}
