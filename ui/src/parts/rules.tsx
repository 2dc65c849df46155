// What the user agrees to before meeting a stranger. It comes once.

import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "./button";
import { Dialog } from "./dialog";

const t = words.rules;

export function Rules({ page, act }: View) {
  const { rulesOpen: open } = page;
  return (
    <Dialog id="rules" title={t.title} close={t.close} open={open} onClose={act.closeRules}>
      <p>{t.what}</p>
      <ul class="rules">
        {t.rules.map((rule) => (
          <li key={rule}>{rule}</li>
        ))}
      </ul>
      <p class="hint">{t.devices}</p>
      <div class="buttons">
        <Button
          action="accept-rules"
          icon="check"
          label={t.accept}
          kind="primary"
          onClick={() => void act.acceptRules()}
        />
        <Button action="refuse-rules" label={t.refuse} onClick={act.closeRules} />
      </div>
    </Dialog>
  );
}
