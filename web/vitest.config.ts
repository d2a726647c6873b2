import { defineConfig } from "vitest/config";

/** Tests of what needs no browser; those of the page itself run in Chromium, from Python. */
export default defineConfig({ test: { include: ["tests/**/*.test.ts"] } });
