import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** The built page goes to where `runtime/generator/page.py` reads it. Nothing is inlined: the page's CSP forbids it. */
export default defineConfig({
  plugins: [react()],
  resolve: {
    // Its build for browsers decodes `&amp;` with innerHTML, which the page's Trusted Types forbid; this one has a table.
    alias: {
      "decode-named-character-reference": new URL("node_modules/decode-named-character-reference/index.js", import.meta.url).pathname,
    },
  },
  build: {
    outDir: "../runtime/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
});
