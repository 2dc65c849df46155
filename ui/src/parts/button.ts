// Buttons, each with the name by which tests and shortcuts know it.

import { h, type Child, type ElementNode } from "../dom/node";
import { icon, type IconName } from "./icons";

export interface ButtonOptions {
  action: string;
  icon?: IconName;
  label: string;
  /** Read by screen readers in place of the visible label, which it has to contain or explain. */
  describe?: string;
  kind?: "primary" | "secondary" | "quiet" | "danger" | "control";
  /** The label is not shown, only read and told as a tooltip. */
  iconOnly?: boolean;
  /** What the button switches is off now. The label says what pressing it does, so this is only to be seen. */
  off?: boolean;
  disabled?: boolean;
  type?: "button" | "submit";
  key?: string;
  onClick?: () => void;
}

export function button(options: ButtonOptions): ElementNode {
  const { action, label, describe, kind = "secondary", iconOnly = false, onClick } = options;
  const spoken = describe ?? (iconOnly ? label : undefined);
  const children: Child[] = [options.icon && icon(options.icon), !iconOnly && h("span", { class: "label" }, label)];
  return h(
    "button",
    {
      ...(options.key === undefined ? {} : { key: options.key }),
      type: options.type ?? "button",
      class: `button ${kind}${iconOnly ? " icon-only" : ""}`,
      "data-action": action,
      "aria-label": spoken,
      title: spoken,
      "data-off": options.off ?? false,
      disabled: options.disabled ?? false,
      ...(onClick ? { on: { click: onClick } } : {}),
    },
    children,
  );
}
