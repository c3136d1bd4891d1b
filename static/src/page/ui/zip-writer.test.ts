import { strFromU8, strToU8, unzipSync } from 'fflate';
import { expect, test } from 'vitest';
import { ZipWriter } from './zip-writer';

test('a zip holds every file under a name that is free and inside the zip', async () => {
  const zip = new ZipWriter();
  const wanted = ['sub-1/T1_m.nii.gz', 'sub-1/T1_m.nii.gz', '../../etc/T1_m.nii.gz', 'T1.v2', 'plain', 'plain'];
  const names = wanted.map((path) => {
    const name = zip.freeName(path);
    zip.add(name, strToU8(path));
    return name;
  });
  expect(names).toEqual(['sub-1/T1_m.nii.gz', 'sub-1/T1_m_2.nii.gz', 'etc/T1_m.nii.gz', 'T1.v2', 'plain', 'plain_2']);
  const files = unzipSync(new Uint8Array(await zip.finish().arrayBuffer()));
  expect(Object.entries(files).map(([name, content]) => [name, strFromU8(content)])).toEqual(names.map((name, n) => [name, wanted[n]]));
});
