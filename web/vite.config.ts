import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** The built page goes to where `runtime/generator/page.py` reads it. Nothing is inlined: the page's CSP forbids it. */
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../runtime/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
});
