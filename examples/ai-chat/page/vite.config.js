import { defineConfig } from 'vite';

export default defineConfig({
  esbuild: { jsx: 'automatic' },
  // The content policy of the service allows nothing inline.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 1000 },
  // `npx vite` beside a running service.
  server: { proxy: { '/api': 'http://127.0.0.1:3001' } },
});
