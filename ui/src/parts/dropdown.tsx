// A menu to choose one of several values: the system's own control in the page's style.

import type { ComponentChildren } from "preact";

interface DropdownProps<Value extends string> {
  id: string;
  value: Value;
  /** Shown as a tooltip, for a choice that doesn't fit into a narrow menu. */
  title?: string | undefined;
  onChoose: (value: Value) => void;
  /** `<option>` elements. */
  children: ComponentChildren;
}

export function Dropdown<Value extends string>(props: DropdownProps<Value>) {
  const { id, value, title, onChoose, children } = props;
  return (
    <div class="dropdown">
      <select
        id={id}
        value={value}
        title={title}
        onChange={({ currentTarget }) => {
          onChoose(currentTarget.value as Value);
        }}
      >
        {children}
      </select>
    </div>
  );
}
