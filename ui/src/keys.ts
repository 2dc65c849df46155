// The keyboard shortcuts: which keys there are, and how this system writes them.

/** What a shortcut does. */
export type Shortcut = "mute" | "camera" | "settings" | "fullScreen" | "hangUp";

interface Key {
  /** As in `KeyboardEvent.key`, in lower case. */
  key: string;
  /** With Ctrl, or ⌘ on a Mac. */
  mod?: boolean;
  shift?: boolean;
}

/**
 * F11 is the key of browsers. M and V are Element Call's and Jitsi's keys. The comma is what most programs use for their
 * settings. Hanging up takes three keys, the same as in Teams, so that it does not happen by accident.
 */
export const KEYS: Record<Shortcut, Key> = {
  mute: { key: "m" },
  camera: { key: "v" },
  settings: { key: ",", mod: true },
  fullScreen: { key: "f11" },
  hangUp: { key: "h", mod: true, shift: true },
};

/** What the web view does by itself: `zoom_hotkeys_enabled` in `window.rs`. */
export type Zoom = "zoomIn" | "zoomOut" | "zoomReset";

const ZOOM_KEYS: Record<Zoom, { name: string; mac: string }> = {
  zoomIn: { name: "Plus", mac: "+" },
  zoomOut: { name: "Minus", mac: "−" },
  zoomReset: { name: "0", mac: "0" },
};

/** The shortcut of a key event. */
export function shortcutOf(event: KeyboardEvent): Shortcut | undefined {
  const { ctrlKey, metaKey, altKey, shiftKey } = event;
  if (altKey) return undefined;
  const pressed = event.key.toLowerCase();
  return (Object.keys(KEYS) as Shortcut[]).find((name) => {
    const { key, mod = false, shift = false } = KEYS[name];
    // Shift together with a letter is Caps Lock, or a hand that rests on it.
    const sameShift = mod ? shiftKey === shift : true;
    return key === pressed && sameShift && mod === (ctrlKey || metaKey);
  });
}

/** `"Ctrl+Shift+H"`, or `"⇧⌘H"` on a Mac. */
export function keyLabel(name: Shortcut, mac = isMac()): string {
  const { key, mod, shift } = KEYS[name];
  const letter = key.toUpperCase();
  if (mac) return `${shift ? "⇧" : ""}${mod ? "⌘" : ""}${letter}`;
  return `${mod ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${letter}`;
}

/** `"Ctrl+Plus"`, or `"⌘+"` on a Mac. */
export function zoomLabel(zoom: Zoom, mac = isMac()): string {
  const key = ZOOM_KEYS[zoom];
  return mac ? `⌘${key.mac}` : `Ctrl+${key.name}`;
}

/** As `aria-keyshortcuts` has it: `"Control+Shift+H"`. */
export function ariaKeys(name: Shortcut, mac = isMac()): string {
  const { key, mod, shift } = KEYS[name];
  return `${mod ? (mac ? "Meta+" : "Control+") : ""}${shift ? "Shift+" : ""}${key.toUpperCase()}`;
}

/** The keys that copy what is selected. */
export function copyKeys(mac = isMac()): string {
  return mac ? "⌘C" : "Ctrl+C";
}

function isMac(): boolean {
  return navigator.userAgent.includes("Mac");
}
