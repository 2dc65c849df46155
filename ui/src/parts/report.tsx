// Reporting and blocking a stranger, in the call and after it: two clicks each.

import { useState } from "preact/hooks";

import { MAX_REPORT_CHARS, type ReportReason, type StrangerState } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button, type ButtonProps } from "./button";
import { Dialog } from "./dialog";
import { Icon } from "./icons";

const t = words.report;
const REASONS: ReportReason[] = ["nudity", "harassment", "minor", "spam", "other"];

interface ReportProps extends Pick<View, "act"> {
  stranger: StrangerState;
}

/** Opens the dialog. */
export function ReportButton(props: Required<Pick<ButtonProps, "kind" | "onClick">>) {
  return <Button action="report" icon="flag" label={t.open} describe={t.openLabel} {...props} />;
}

/** Opens the dialog, at the top of a call. */
export function ReportBadge({ onClick }: { onClick: () => void }) {
  return (
    <button
      type="button"
      class="badge button-badge report-badge"
      data-action="report"
      aria-haspopup="dialog"
      aria-label={t.openLabel}
      title={t.openLabel}
      onClick={onClick}
    >
      <Icon name="flag" />
      <span>{t.open}</span>
    </button>
  );
}

interface DialogProps extends ReportProps {
  open: boolean;
  onClose: () => void;
}

export function ReportDialog({ stranger, open, onClose, act }: DialogProps) {
  return (
    <Dialog id="report" title={t.title} close={t.close} open={open} onClose={onClose}>
      <Reasons stranger={stranger} act={act} />
      <Block stranger={stranger} act={act} />
    </Dialog>
  );
}

/** A click on a reason sends the report, with what was added below. */
function Reasons({ stranger, act }: ReportProps) {
  const [text, setText] = useState("");
  const [snapshot, setSnapshot] = useState(false);
  const { report: status } = stranger;
  const done = status === "sending" || status === "sent";
  return (
    <section class="report-part" aria-labelledby="report-reason">
      <h3 id="report-reason">{t.reason}</h3>
      {status !== "none" && (
        <p role="status" class="notice" data-report={status}>
          {t.status[status]}
        </p>
      )}
      {!done && (
        <>
          <div class="report-reasons">
            {REASONS.map((reason) => (
              <Button
                key={reason}
                action={`report-${reason}`}
                label={t.reasons[reason]}
                onClick={() => void act.send({ type: "report", reason, text, snapshot })}
              />
            ))}
          </div>
          <details class="report-more">
            <summary>{t.more}</summary>
            <div class="field">
              <label for="report-text">{t.text}</label>
              <textarea
                id="report-text"
                rows={3}
                maxLength={MAX_REPORT_CHARS}
                value={text}
                onInput={({ currentTarget }) => {
                  setText(currentTarget.value);
                }}
              />
            </div>
            <label class="report-snapshot">
              <input
                id="report-snapshot"
                type="checkbox"
                checked={snapshot}
                onChange={({ currentTarget }) => {
                  setSnapshot(currentTarget.checked);
                }}
              />
              <span>{t.snapshot}</span>
            </label>
          </details>
          <p class="hint">{t.who}</p>
        </>
      )}
    </section>
  );
}

/** What became of a block. Nothing is claimed before the server has said so. */
export function BlockNotice({ block }: Pick<StrangerState, "block">) {
  if (block === "none") return null;
  return (
    <p role="status" class="notice" data-block={block}>
      {t.blockStatus[block]}
    </p>
  );
}

function Block({ stranger, act }: ReportProps) {
  const { block } = stranger;
  return (
    <section class="report-part" aria-labelledby="block-title">
      <h3 id="block-title">{t.block}</h3>
      {block === "none" ? <p>{t.blockHint}</p> : <BlockNotice block={block} />}
      {(block === "none" || block === "failed") && (
        <div class="buttons">
          <Button
            action="block"
            icon="block"
            label={t.block}
            kind="danger"
            onClick={() => void act.send({ type: "block" })}
          />
        </div>
      )}
    </section>
  );
}
