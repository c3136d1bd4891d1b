// Writes licences.txt of the built site: the licence of every package that may be in it, as those licences ask.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of the build alone: types, and the bundler of a dependency's own build. */
const NOT_BUNDLED = /[\\/]node_modules[\\/](.*[\\/])?@(types|rollup|webgpu)[\\/]/;

// The npm that runs this script; it need not be on the path.
const folders = execFileSync(process.execPath, [process.env.npm_execpath, 'ls', '--omit=dev', '--all', '--parseable'], { encoding: 'utf8' })
  .split(/\r?\n/)
  .slice(1) // the site itself
  .filter((folder) => folder !== '' && !NOT_BUNDLED.test(folder));

const parts = folders.map((folder) => {
  const { name, version, license, author, repository } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)(\.|$)/i.test(entry));
  const by = typeof author === 'object' ? author.name : author;
  const where = typeof repository === 'object' ? repository.url : repository;
  const text = file === undefined ? `${[by, where].filter(Boolean).join(', ')}; the package holds no text of its licence.` : readFileSync(join(folder, file), 'utf8').trim();
  return `${name} ${version}, ${license}\n\n${text}\n`;
});
const intro = 'Software of others in this site, each under its own licence. The site itself: MIT.\n';
writeFileSync(new URL('../dist/licences.txt', import.meta.url), [intro, ...parts.sort()].join(`\n${'-'.repeat(80)}\n\n`));
