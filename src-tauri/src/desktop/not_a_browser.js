// Runs before the page, in every web view. Turns off what a web view brings along as a browser and
// what makes no sense in a window: its menu, and its keys for loading again, printing, saving,
// searching and caret browsing. Text fields keep the menu, with "Copy" and "Paste".
(() => {
  const TEXT = "input, textarea, [contenteditable]:not([contenteditable=false])";
  const KEYS = new Set(["f3", "f5", "f7"]);
  const WITH_CTRL = new Set(["f", "g", "o", "p", "r", "s", "u"]);
  const isMac = navigator.userAgent.includes("Mac");

  const stop = (event) => {
    event.preventDefault();
  };

  addEventListener(
    "contextmenu",
    (event) => {
      if (!(event.target instanceof Element && event.target.closest(TEXT))) stop(event);
    },
    true,
  );

  addEventListener(
    "keydown",
    (event) => {
      // On a Mac, Ctrl with a letter moves the caret in a text field.
      const mod = isMac ? event.metaKey : event.ctrlKey;
      // Autofill sends events without a key.
      const key = event.key?.toLowerCase() ?? "";
      if (KEYS.has(key) || (mod && !event.altKey && WITH_CTRL.has(key))) stop(event);
    },
    true,
  );
})();
