// Loading a model from the server's catalogue, from dropped files, or from a TF.js folder.
import { BundleError, loadBundle, parseSpec } from './bundle';
import type { LoadedModel } from './bundle';
import { readUrl } from '../engine/read-url';
import { embeddedSpec, importTfjs } from './tfjs-import/import';
import type { TfjsAnswers, TfjsFiles } from './tfjs-import/import';

/** Origin of a model. The page keeps the files, so that a new worker can read them again. */
export type ModelSource =
  | { readonly kind: 'url'; readonly name: string; readonly modelUrl: string; readonly weightsUrl: string }
  /** `modelUrl` is that of model.json; the weights lie beside it under the name that it gives. */
  | { readonly kind: 'folder'; readonly name: string; readonly modelUrl: string }
  | { readonly kind: 'bundle'; readonly files: readonly File[] }
  | { readonly kind: 'tfjs'; readonly files: readonly File[]; readonly answers: TfjsAnswers | null };

/** Throws BundleError or TfjsImportError with a sentence for the visitor. */
export async function loadModel(source: ModelSource, signal: AbortSignal): Promise<LoadedModel> {
  switch (source.kind) {
    case 'url': {
      const [modelJson, weights] = await Promise.all([
        download(source.modelUrl, source.name, signal).then((response) => response.text()),
        download(source.weightsUrl, source.name, signal).then((response) => response.arrayBuffer()),
      ]);
      return loadBundle(modelJson, new Uint8Array(weights), source.name);
    }
    case 'folder': {
      const modelJson = await (await download(source.modelUrl, source.name, signal)).text();
      const { weights } = parseSpec(modelJson, `${source.name}: model.json`);
      const response = await download(new URL(weights.file, source.modelUrl).href, source.name, signal);
      return loadBundle(modelJson, new Uint8Array(await response.arrayBuffer()), source.name);
    }
    case 'bundle': {
      const modelJson = await find(source.files, /\.json$/i).text();
      const { weights } = parseSpec(modelJson, 'model.json');
      const file = source.files.find(({ name }) => name === weights.file);
      if (file === undefined) throw new BundleError(`model.json: names ${weights.file}, which was not given; drop both files together`);
      return loadBundle(modelJson, await bytesOf(file), 'dropped model');
    }
    case 'tfjs':
      return importTfjs(await tfjsFiles(source.files), source.answers, 'model.json');
  }
}

/** Whether the visitor must state how the model's input is prepared: a TF.js folder without our own description. */
export async function needsAnswers(source: ModelSource): Promise<boolean> {
  if (source.kind !== 'tfjs' || source.answers !== null) return false;
  return embeddedSpec((await tfjsFiles(source.files)).modelJson, 'model.json') === null;
}

async function tfjsFiles(files: readonly File[]): Promise<TfjsFiles> {
  const binaries = new Map<string, Uint8Array>();
  const colormaps = new Map<string, string>();
  for (const file of files) {
    if (/\.bin$/i.test(file.name)) binaries.set(file.name, await bytesOf(file));
    if (isColormap(file.name)) colormaps.set(file.name, await file.text());
  }
  const modelJson = await find(files.filter(({ name }) => !isColormap(name)), /\.json$/i).text();
  return { modelJson, binaries, colormaps };
}

export function isColormap(name: string): boolean {
  return /colou?rmap.*\.json$/i.test(name);
}

function find(files: readonly File[], pattern: RegExp): File {
  const matching = files.filter(({ name }) => pattern.test(name));
  const preferred = matching.find(({ name }) => name === 'model.json') ?? matching[0];
  if (preferred === undefined) throw new BundleError('The model has no model.json; drop it together with its weights.');
  return preferred;
}

async function download(url: string, name: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await readUrl(url, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new BundleError(`${name}: could not be downloaded (${error instanceof Error ? error.message : ''}); check that the server still runs, then try again`);
  }
  if (!response.ok) throw new BundleError(`${name}: the server answered ${response.status} for ${new URL(url).pathname}; reload the page to get the current list of models`);
  return response;
}

async function bytesOf(file: File): Promise<Uint8Array> {
  return new Uint8Array(await file.arrayBuffer());
}
