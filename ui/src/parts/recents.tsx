// Recent calls, with a button to call each person again.

import { useState } from "preact/hooks";

import { words } from "../locale";
import { personCalled, titleOf, withName } from "../person";
import { dayAndTime } from "../time";
import { Button } from "./button";
import { Avatar, Foreign } from "./person";

const t = words.recents;

export interface RecentCall {
  id: string;
  /** As the person wrote it; may be empty. */
  name: string;
  /** When the call was, in ms since 1970. */
  when: number;
  /** Whether calling again is possible. */
  callable: boolean;
}

export interface RecentsProps {
  /** Newest first. */
  calls: RecentCall[];
  nowMs: number;
  onCall: (id: string) => void;
  onRemove: (id: string) => void;
  onClear: () => void;
}

/** Nothing at all without calls. */
export function Recents({ calls, nowMs, onCall, onRemove, onClear }: RecentsProps) {
  if (calls.length === 0) return null;
  return (
    <section class="recents" aria-labelledby="recents-title">
      <header class="recents-head">
        <h2 id="recents-title">{t.title}</h2>
        <ClearAll onClear={onClear} />
      </header>
      <ul>
        {calls.map((call) => (
          <Row key={call.id} call={call} nowMs={nowMs} onCall={onCall} onRemove={onRemove} />
        ))}
      </ul>
    </section>
  );
}

/** Asks once: the other side of a cleared call can't be called again. */
function ClearAll({ onClear }: Pick<RecentsProps, "onClear">) {
  const [asked, setAsked] = useState(false);
  if (!asked) {
    return (
      <Button
        key="ask"
        action="clear-recents"
        label={t.clear}
        kind="quiet"
        onClick={() => {
          setAsked(true);
        }}
      />
    );
  }
  return (
    <div class="recents-sure" role="group" aria-label={t.clearSure}>
      <span>{t.clearSure}</span>
      <Button
        key="keep"
        action="keep-recents"
        label={t.keep}
        onClick={() => {
          setAsked(false);
        }}
      />
      <Button
        key="sure"
        action="clear-recents-sure"
        label={t.clear}
        kind="danger"
        onClick={onClear}
      />
    </div>
  );
}

interface RowProps extends Pick<RecentsProps, "nowMs" | "onCall" | "onRemove"> {
  call: RecentCall;
}

function Row({ call: { id, name, when, callable }, nowMs, onCall, onRemove }: RowProps) {
  const person = personCalled(name);
  return (
    <li class="recent">
      <Avatar partner={person} />
      <div class="recent-words">
        <p class="recent-name">
          <Foreign text={titleOf(person)} limit={60} />
        </p>
        <p class="hint">
          <time dateTime={new Date(when).toISOString()}>{dayAndTime(when, nowMs)}</time>
          {!callable && ` · ${t.notCallable}`}
        </p>
      </div>
      {callable && (
        <Button
          action="call-again"
          icon="phone"
          label={t.call}
          describe={withName(t.callLabel, person)}
          onClick={() => {
            onCall(id);
          }}
        />
      )}
      <Button
        action="remove-recent"
        icon="close"
        label={withName(t.removeLabel, person)}
        iconOnly
        kind="quiet"
        onClick={() => {
          onRemove(id);
        }}
      />
    </li>
  );
}
