// The Python that builds with us: it has the C compiler of the PyPI package `ziglang`.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ZIGLANG = 'ziglang==0.17.1';

/** The first Python that has `ziglang`: $PYTHON, the project's .venv, python3. Ends the program where there is none. */
export function findPython() {
  const inProject = (path) => fileURLToPath(new URL(`../../.venv/${path}`, import.meta.url));
  const candidates = [process.env.PYTHON, inProject('bin/python'), inProject('Scripts/python.exe'), 'python3'].filter((path) => path !== undefined && path !== '');
  for (const python of candidates) {
    if (spawnSync(python, ['-m', 'ziglang', 'version'], { stdio: 'ignore' }).status === 0) return python;
  }
  console.error(
    `no Python with the C compiler was found (tried ${candidates.join(', ')}); ` +
      `install it with: python3 -m pip install ${ZIGLANG}   and, if that is another Python, set PYTHON to it`,
  );
  process.exit(1);
}
