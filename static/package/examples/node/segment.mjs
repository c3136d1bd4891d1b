// Segments a scan and writes its labels, under Node or Deno:
//   node segment.mjs scan.nii.gz labels.nii.gz [MODEL]
//   deno run --allow-read --allow-write --unstable-webgpu segment.mjs scan.nii.gz labels.nii.gz [MODEL]
// MODEL: id of a shipped model (t2-lesion by default), or the folder of a web bundle.
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { encodeNifti, segment } from 'meshnet';

const [scan, out, model = 't2-lesion'] = process.argv.slice(2);
const result = await segment(
  { name: basename(scan), bytes: await readFile(scan) },
  existsSync(model) ? pathToFileURL(model) : model,
  { onProgress: ({ stage, fraction }) => process.stderr.write(`\r${stage} ${Math.round(100 * fraction)} % `) },
);
await writeFile(out, encodeNifti(result));
console.error(`\n${result.run.backend}: ${result.run.device}, ${(result.run.milliseconds / 1000).toFixed(1)} s`);
for (const { name, volumeMl } of result.volumes) console.log(`${name}\t${volumeMl}`);
