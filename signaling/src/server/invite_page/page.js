
"use strict";

// The words stand behind the `#`, which browsers don't send, so only this script knows them. It
// takes nothing but a number and two words from the address, and shows them as text.
(() => {
  const NUMBER = /^\/j\/([1-9][0-9]{0,8})$/;
  const WORDS = /^#([a-z]{2,20}-[a-z]{2,20})$/;

  const element = (id) => document.getElementById(id);

  /** Whether an address without a scheme means this host without TLS: `is_private` in server_url.rs. */
  function isPrivate(hostname) {
    const ip = /^([0-9]+)\.([0-9]+)\.[0-9]+\.[0-9]+$/.exec(hostname);
    if (ip) {
      const [first, second] = [Number(ip[1]), Number(ip[2])];
      return (
        first === 10 ||
        first === 127 ||
        (first === 169 && second === 254) ||
        (first === 172 && second >= 16 && second <= 31) ||
        (first === 192 && second === 168)
      );
    }
    if (hostname.startsWith("[")) return /^\[(::1\]|f[cd]..:|fe[89ab].:)/.test(hostname);
    return !hostname.includes(".") || /(^|\.)(localhost|local|home\.arpa)\.?$/.test(hostname);
  }

  /**
   * Whether a `tandem:` link can name this server. It has no scheme, so Tandem uses TLS unless the
   * host is private; and it takes a lone word for a mistake.
   */
  function canBeNamed({ protocol, host, hostname }) {
    // An IPv4 address in IPv6: no one writes it, so it is not worth telling private ones apart.
    if (hostname.startsWith("[::ffff:")) return false;
    if (!/[.:]/.test(host) && hostname !== "localhost") return false;
    return (protocol === "http:") === isPrivate(hostname);
  }

  function show() {
    const number = NUMBER.exec(location.pathname)?.[1];
    const words = WORDS.exec(location.hash)?.[1];
    const isComplete = Boolean(number && words);
    const state = isComplete ? (canBeNamed(location) ? "named" : "unnamed") : "incomplete";

    const server = location.host;
    element("open").href = state === "named" ? `tandem://join/${server}/${number}#${words}` : "#";
    element("code").textContent = isComplete ? `${number}-${words}` : "";
    element("server").textContent = server;
    document.title = isComplete ? "Join a call – Tandem" : "Incomplete link – Tandem";

    for (const part of document.querySelectorAll("[data-when]")) {
      part.hidden = !part.dataset.when.split(" ").includes(state);
    }
  }

  // Browsers offer the clipboard to encrypted pages only.
  const copy = element("copy");
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Copy it from the address bar";
    }
  });

  addEventListener("hashchange", show);
  show();
})();
