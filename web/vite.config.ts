import { defineConfig } from "vite";

// For each page (scripts/build.mjs names them) one script and one style sheet, without hashes in their names: Python puts both into a page, or serves them.
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    emptyOutDir: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      output: {
        format: "iife",
      },
    },
  },
});
