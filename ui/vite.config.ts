import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./",
  build: {
    // What WebKitGTK 2.40, WKWebView on macOS 12 and every WebView2 understand.
    target: ["es2022", "safari15.4", "chrome105"],
    // The content security policy forbids inline code, and data: URLs for scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: false,
    chunkSizeWarningLimit: 150,
  },
  server: { port: 1420, strictPort: true },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
  },
});
