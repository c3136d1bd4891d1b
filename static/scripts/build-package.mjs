// Builds the npm package in dist-package/, ready for `npm pack`: modules, workers, WASM, models, types, README, licences.
//   npm run package
// Its version is the project's, from meshnet/version.py.
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findPython } from './python.mjs';
import { thirdPartyLicences } from './third-party.mjs';

const root = new URL('../', import.meta.url);
const repo = new URL('../', root);
const out = new URL('dist-package/', root);
const path = (url) => fileURLToPath(url);
const run = (program, ...args) => execFileSync(program, args, { cwd: path(root), stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, PYTHONPATH: path(repo) } });

/** Packages whose code is in the modules. */
const BUNDLED = ['@cfworker/json-schema', 'fflate'];

rmSync(out, { recursive: true, force: true });
run(findPython(), '-m', 'export.package_models', 'dist-models');
run('npx', 'vite', 'build', '--logLevel', 'warn', '--config', 'vite.package.config.ts');
run('npx', 'dts-bundle-generator', '--silent', '--no-check', '--out-file', 'dist-package/dist/index.d.ts', 'src/package/index.ts');

const version = /^__version__ = "(.+)"$/m.exec(readFileSync(new URL('meshnet/version.py', repo), 'utf8'))[1];
const manifest = JSON.parse(readFileSync(new URL('package/package.json', root), 'utf8'));
writeFileSync(new URL('package.json', out), `${JSON.stringify({ ...manifest, version }, null, 2)}\n`);
cpSync(new URL('package/README.md', root), new URL('README.md', out));
cpSync(new URL('package/examples/', root), new URL('examples/', out), { recursive: true });
cpSync(new URL('LICENSE', repo), new URL('LICENSE', out));
writeFileSync(new URL('licences.txt', out), thirdPartyLicences(root, (folder) => BUNDLED.some((name) => folder === `node_modules/${name}`), 'in this package'));
