// The TypeScript of the user interface, for tests that run in Node.

import { fileURLToPath } from "node:url";

import { createServer } from "vite";

/** What translates the sources in `src`. */
export function openSources() {
  return createServer({
    root: fileURLToPath(new URL("..", import.meta.url)),
    appType: "custom",
    logLevel: "error",
    optimizeDeps: { noDiscovery: true },
    server: { middlewareMode: true, ws: false, watch: null },
  });
}

/** Loads `Handshake`, `CodeExchange`, `WordsExchange` and `fingerprintIn`, and `close`, which ends the loader. */
export async function loadTrust() {
  const vite = await openSources();
  const modules = await Promise.all(
    ["handshake", "code", "safety-words", "fingerprint"].map((name) =>
      vite.ssrLoadModule(`/src/trust/${name}.ts`),
    ),
  );
  return Object.assign({ close: () => vite.close() }, ...modules);
}
