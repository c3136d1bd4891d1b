// The licences of the packages inside a build, as those licences ask.
import { readFileSync, readdirSync } from 'node:fs';

/** Text of licences.txt. `root`: the folder of package-lock.json; `isIn`: whether a folder of it, "node_modules/…", is in the build. */
export function thirdPartyLicences(root, isIn, where) {
  const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8'));
  const folders = Object.keys(packages).filter((path) => path !== '' && !packages[path].dev && isIn(path));
  const parts = folders.map((path) => {
    const folder = new URL(`${path}/`, root);
    const { name, version, license, author, repository } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));
    const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)(\.|$)/i.test(entry));
    const by = typeof author === 'object' ? author.name : author;
    const source = typeof repository === 'object' ? repository.url : repository;
    const text = file === undefined ? `${[by, source].filter(Boolean).join(', ')}; the package holds no text of its licence.` : readFileSync(new URL(file, folder), 'utf8').trim();
    return `${name} ${version}, ${license}\n\n${text}\n`;
  });
  return [`Third-party software ${where}, each under its own licence. MeshNet itself: MIT.\n`, ...parts.sort()].join(`\n${'-'.repeat(80)}\n\n`);
}
