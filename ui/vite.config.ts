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
  // For `npm run dev` only.
  server: { port: 1420, strictPort: true },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
  },
});
