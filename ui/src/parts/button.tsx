// Buttons, each with the name by which tests know it.

import { ariaKeys, keyLabel, type Shortcut } from "../keys";
import { Icon, type IconName } from "./icons";

export interface ButtonProps {
  action: string;
  icon?: IconName;
  label: string;
  /** What screen readers say instead of the label; it has to contain the label. */
  describe?: string;
  kind?: "primary" | "secondary" | "quiet" | "danger" | "control";
  /** Shows the icon alone; the label becomes the tooltip and what screen readers say. */
  iconOnly?: boolean;
  /** Marks that what the button switches is off now. The label says what pressing it does. */
  off?: boolean;
  disabled?: boolean;
  /** The keys that do the same: in the tooltip, and for screen readers. */
  keys?: Shortcut | undefined;
  type?: "button" | "submit";
  onClick?: () => void;
}

export function Button(props: ButtonProps) {
  const { action, icon, label, kind = "secondary", iconOnly = false, keys, onClick } = props;
  const spoken = props.describe ?? (iconOnly ? label : undefined);
  return (
    <button
      type={props.type ?? "button"}
      class={`button ${kind}${iconOnly ? " icon-only" : ""}`}
      data-action={action}
      aria-label={spoken}
      title={keys ? `${spoken ?? label} (${keyLabel(keys)})` : spoken}
      aria-keyshortcuts={keys && ariaKeys(keys)}
      data-off={props.off ? "" : undefined}
      disabled={props.disabled ?? false}
      onClick={onClick}
    >
      {icon && <Icon name={icon} />}
      {!iconOnly && <span class="label">{label}</span>}
    </button>
  );
}
