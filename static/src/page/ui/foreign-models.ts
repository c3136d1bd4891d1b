// Model files of other formats, by their endings. meshnet/infer/open_model.py has the same list.

const IMPORT = 'import it on your computer with meshnet-import FILE -o FOLDER and drop the folder';
const KERAS = 'convert it with tensorflowjs.converters.save_keras_model(model, FOLDER) and drop that folder';
const EXPORT = 'export the original model to ONNX, import it with meshnet-import FILE -o FOLDER and drop the folder';

const FOREIGN: readonly (readonly [ending: RegExp, what: string, remedy: string])[] = [
  [/\.onnx$/i, 'an ONNX model', IMPORT],
  [/\.pth?$/i, 'a PyTorch model', IMPORT],
  [/\.ckpt$/i, 'a PyTorch checkpoint', IMPORT],
  [/\.(h5|hdf5)$/i, 'an HDF5 file, such as a Keras model', KERAS],
  [/\.keras$/i, 'a Keras model', KERAS],
  [/\.tflite$/i, 'a TensorFlow Lite model', EXPORT],
  [/\.pb$/i, 'a TensorFlow graph', EXPORT],
];

/** The sentence about the first of these files that is a model of another format; null where none is. */
export function foreignModelText(files: readonly { readonly name: string }[]): string | null {
  for (const { name } of files) {
    const known = FOREIGN.find(([ending]) => ending.test(name));
    if (known !== undefined) return `${name}: is ${known[1]}, which this page doesn't read; ${known[2]}.`;
  }
  return null;
}
