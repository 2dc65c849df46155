import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./",
  build: {
    // What WebKitGTK 2.40, WKWebView on macOS 12.3 and WebView2 105 understand.
    target: ["es2022", "safari15.4", "chrome105"],
    // The content security policy forbids inline code, and data: URLs for scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: false,
    // In kB.
    chunkSizeWarningLimit: 150,
  },
  server: {
    // For `npm run dev` only.
    port: 1420,
    strictPort: true,
    // Beside this folder, the list of words and the vectors, which Rust has, too.
    fs: { allow: [".", "../src-tauri/trust/src", "../tests/vectors"] },
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
  },
});
