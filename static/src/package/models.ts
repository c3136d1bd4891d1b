// The `model` argument of `segment` → where the model is read from.
import type { ModelSource } from '../model/source';
import { SegmentError } from './errors';
import { asFile, type NamedFile } from './scan-input';

/**
 * The id of a shipped model ("t2-lesion"); the URL of a web bundle's folder or of its model.json; or the files of a web
 * bundle or of a TensorFlow.js folder that MeshNet exported.
 */
export type ModelInput = string | URL | readonly (File | NamedFile)[];

/** Files of the shipped models: path below dist-models/ → URL. `python -m export.package_models` writes that folder. */
const SHIPPED = import.meta.glob<string>('../../dist-models/*/*.{json,safetensors}', { query: '?url', import: 'default', eager: true });

const ID = /^[a-z0-9][a-z0-9._-]*$/i;

/** Ids of the models inside the package. */
export function shippedModels(): string[] {
  return Object.keys(SHIPPED).filter((path) => path.endsWith('/model.json')).map((path) => path.split('/').at(-2)!);
}

/** Throws SegmentError where `model` is neither a shipped id, nor a URL, nor files. */
export function sourceOf(model: ModelInput, models: string | URL | undefined): ModelSource {
  if (typeof model === 'string' && ID.test(model)) return models === undefined ? shipped(model) : folder(new URL(`${model}/`, asFolder(absolute(models))));
  if (typeof model === 'string' || model instanceof URL) return folder(absolute(model));
  const files = model.map(asFile);
  return files.some(({ name }) => /\.bin$/i.test(name)) ? { kind: 'tfjs', files, answers: null } : { kind: 'bundle', files };
}

function shipped(id: string): ModelSource {
  const urlOf = (name: RegExp) => Object.entries(SHIPPED).find(([path]) => path.split('/').at(-2) === id && name.test(path))?.[1];
  const [modelUrl, weightsUrl] = [urlOf(/model\.json$/), urlOf(/\.safetensors$/)];
  if (modelUrl === undefined || weightsUrl === undefined) {
    throw new SegmentError(`model: the package has no ${id}; give one of ${shippedModels().join(', ')}, a URL, or the model's files`, 'model');
  }
  return { kind: 'url', name: id, modelUrl, weightsUrl };
}

function folder(url: URL): ModelSource {
  const modelUrl = url.pathname.endsWith('.json') ? url : new URL('model.json', asFolder(url));
  return { kind: 'folder', name: modelUrl.pathname.split('/').at(-2) ?? 'model', modelUrl: modelUrl.href };
}

function asFolder(url: URL): URL {
  return url.pathname.endsWith('/') ? url : new URL(`${url.pathname}/`, url);
}

/** Relative URLs start at the page's; Node and Deno have no page. */
function absolute(url: string | URL): URL {
  const { document } = globalThis as { readonly document?: { readonly baseURI: string } };
  try {
    return new URL(url, document?.baseURI);
  } catch {
    throw new SegmentError(`model: expected the id of a shipped model or an absolute URL, got '${String(url)}'; for a folder on disk give its file: URL`, 'model');
  }
}
