// Model files of other formats, by their endings. meshnet/infer/open_model.py has the same list.
import { say } from '../texts/message';
import type { Message } from '../texts/message';

const IMPORT = say('open.remedyImport');
const KERAS = say('open.remedyKeras');
const EXPORT = say('open.remedyExport');

const FOREIGN: readonly (readonly [ending: RegExp, kind: Message, remedy: Message])[] = [
  [/\.onnx$/i, say('open.onnx'), IMPORT],
  [/\.pth?$/i, say('open.pytorch'), IMPORT],
  [/\.ckpt$/i, say('open.ckpt'), IMPORT],
  [/\.(h5|hdf5)$/i, say('open.hdf5'), KERAS],
  [/\.keras$/i, say('open.keras'), KERAS],
  [/\.tflite$/i, say('open.tflite'), EXPORT],
  [/\.pb$/i, say('open.pb'), EXPORT],
];

/** The sentence about the first of these files that is a model of another format; null where none is. */
export function foreignModelText(files: readonly { readonly name: string }[]): Message | null {
  for (const { name } of files) {
    const known = FOREIGN.find(([ending]) => ending.test(name));
    if (known !== undefined) return say('open.foreign', { name, kind: known[1], remedy: known[2] });
  }
  return null;
}
