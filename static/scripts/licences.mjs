// Writes licences.txt of the built site: the licence of every package that may be in it, as those licences ask.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

/** Packages that the build alone needs (types, and the bundler of a dependency's own build), and those that the site replaces (vite.config.ts). */
const NOT_BUNDLED = /node_modules\/(@(types|rollup|webgpu|zarrita)\/.*|zarrita|numcodecs|reference-spec-reader|unzipit|uzip-module)$/;

const root = new URL('../', import.meta.url);
const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8'));
const folders = Object.keys(packages).filter((path) => path !== '' && !packages[path].dev && !NOT_BUNDLED.test(path));

const parts = folders.map((path) => {
  const folder = new URL(`${path}/`, root);
  const { name, version, license, author, repository } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)(\.|$)/i.test(entry));
  const by = typeof author === 'object' ? author.name : author;
  const where = typeof repository === 'object' ? repository.url : repository;
  const text = file === undefined ? `${[by, where].filter(Boolean).join(', ')}; the package holds no text of its licence.` : readFileSync(new URL(file, folder), 'utf8').trim();
  return `${name} ${version}, ${license}\n\n${text}\n`;
});
const intro = 'Third-party software in this site, each under its own licence. The site itself: MIT.\n';
writeFileSync(new URL('dist/licences.txt', root), [intro, ...parts.sort()].join(`\n${'-'.repeat(80)}\n\n`));
