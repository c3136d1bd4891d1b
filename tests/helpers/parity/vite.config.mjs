// One self-contained file for Node out of the site's own sources.
import { fileURLToPath } from 'node:url';

export default {
  root: fileURLToPath(new URL('.', import.meta.url)),
  logLevel: 'warn',
  ssr: { noExternal: true },
  build: { ssr: 'volume_cli.mjs', minify: false, rollupOptions: { output: { entryFileNames: 'volume_cli.mjs' } } },
};
