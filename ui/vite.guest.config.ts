// Builds the pages that the signaling server serves: each is one file with its style and script in
// it, and the same sources give the same bytes.

import { defineConfig, type Plugin } from "vite";

import { fill } from "./src/guest/markup";

/** Puts style and script into each page and leaves nothing else. */
function onePage(): Plugin {
  return {
    name: "one-page",
    enforce: "post",
    transformIndexHtml: { order: "pre", handler: fill },
    generateBundle(_, bundle) {
      for (const page of Object.values(bundle)) {
        if (page.type !== "asset" || !page.fileName.endsWith(".html")) continue;
        page.source = inlined(String(page.source), (path) => {
          const file = bundle[path.replace(/^\.?\//u, "")];
          if (!file) throw new Error(`${page.fileName} needs ${path}, which was not built`);
          return file.type === "chunk" ? file.code : String(file.source);
        });
      }
      for (const name of Object.keys(bundle)) {
        if (!name.endsWith(".html")) Reflect.deleteProperty(bundle, name);
      }
    },
  };
}

function inlined(html: string, read: (path: string) => string): string {
  let script = "";
  const styled = html
    .replace(/\s*<script [^>]*src="([^"]+)"[^>]*><\/script>/u, (_, path: string) => {
      script = read(path).trim();
      return "";
    })
    .replace(/<link rel="stylesheet"[^>]*href="([^"]+)"[^>]*>/u, (_, path: string) => {
      return `<style>${read(path).trim()}</style>`;
    })
    .replaceAll(/\n\s+/gu, "\n")
    .replaceAll(/>\n</gu, "><");
  if (/<\/(?:script|style)/iu.test(script)) throw new Error("the script would end its element");
  const end = script === "" ? "</body>" : `<script type="module">${script}</script></body>`;
  return `${styled.replace("</body>", () => end).trim()}\n`;
}

export default defineConfig({
  base: "./",
  plugins: [onePage()],
  build: {
    outDir: "../signaling/src/server/guest_page",
    // The server's own files are there, too.
    emptyOutDir: false,
    // What has WebRTC with perfect negotiation, and what Tandem's own window understands.
    target: ["es2022", "safari15.4", "chrome105", "firefox115"],
    modulePreload: false,
    cssCodeSplit: true,
    rolldownOptions: {
      input: ["guest.html", "home.html"],
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
