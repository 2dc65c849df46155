// A setting that is on or off.

export interface SwitchProps {
  id: string;
  label: string;
  hint: string;
  on: boolean;
  onSwitch: (on: boolean) => void;
}

export function Switch({ id, label, hint, on, onSwitch }: SwitchProps) {
  return (
    <label class="switch-row">
      <span class="switch-words">
        <span>{label}</span>
        <span class="hint">{hint}</span>
      </span>
      <input
        id={id}
        type="checkbox"
        class="switch"
        role="switch"
        checked={on}
        onChange={({ currentTarget }) => {
          onSwitch(currentTarget.checked);
        }}
      />
    </label>
  );
}
