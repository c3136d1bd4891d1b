// Writes licences.txt of the built site: the licence of every package that may be in it.
import { writeFileSync } from 'node:fs';
import { thirdPartyLicences } from './third-party.mjs';

/** Packages that the build alone needs (types, and the bundler of a dependency's own build), and those that the site replaces (vite.config.ts). */
const NOT_BUNDLED = /node_modules\/(@(types|rollup|webgpu|zarrita)\/.*|zarrita|numcodecs|reference-spec-reader|unzipit|uzip-module)$/;

const root = new URL('../', import.meta.url);
writeFileSync(new URL('dist/licences.txt', root), thirdPartyLicences(root, (path) => !NOT_BUNDLED.test(path), 'in this site'));
