// Runs dcm2niix (WebAssembly) once, on the DICOM files of one message, and answers with what it wrote and printed.
// The package's own worker sends the printed text to the console, so the reason of a failure would not reach the visitor.
import createModule from 'dcm2niix-module';
import type { Conversion } from './convert';

/** Series number, description, date, study and series, of which `tellApart` keeps what is needed; no sidecar files; neither cropped
 * nor rotated. */
const OPTIONS = ['-f', '%s_%d_%t_%k_%j', '-b', 'n', '-z', 'n', '-x', 'i'];

addEventListener('message', ({ data }: MessageEvent<readonly File[]>) => {
  void convert(data).then((made) => { postMessage(made); }, (error: unknown) => { postMessage({ error: error instanceof Error ? error.message : String(error) }); });
});

async function convert(files: readonly File[]): Promise<Conversion> {
  const [printed, errors]: [string[], string[]] = [[], []];
  const module = await createModule({ print: (line) => { printed.push(line); }, printErr: (line) => { errors.push(line); } });
  module.FS.mkdir('/in');
  module.FS.mkdir('/out');
  for (const file of files) module.FS.createDataFile('/in', file.name, new Uint8Array(await file.arrayBuffer()), true, true);
  const exitCode = module.callMain(['-o', '/out', ...OPTIONS, '/in']);
  const names = module.FS.readdir('/out').filter((name) => name.endsWith('.nii'));
  return { exitCode, output: [...printed, ...errors].join('\n'), files: names.map((name) => new File([module.FS.readFile(`/out/${name}`)], name)) };
}
