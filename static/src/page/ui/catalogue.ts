// The server's list of models, as docs/server.md describes it.
import type { Label } from '../../generated/model-spec';
import type { ModelSource } from '../../model/source';
import { TextError } from '../texts/language';
import { say } from '../texts/message';
import type { KioskSettings } from '../kiosk/kiosk';

/** A label of a model in the list; `role` as in model.json, and missing in catalogues of older versions. */
export type ListedLabel = Pick<Label, 'index' | 'name' | 'role'> & { readonly color: readonly number[] };

export interface UsableModel {
  readonly id: string;
  readonly name: string;
  readonly task: string;
  readonly description: string;
  readonly modality: readonly string[];
  readonly parameters: number;
  readonly license: string;
  readonly bytes: number;
  readonly url: string;
  readonly files: readonly [string, string];
  readonly card: string | null;
  /** Address of a small picture. */
  readonly picture: string | null;
  readonly labels: readonly ListedLabel[];
  readonly default: boolean;
  readonly broken: null;
}

export interface BrokenModel {
  readonly id: string;
  readonly name: string;
  readonly default: false;
  readonly broken: string;
}

export interface Catalogue {
  readonly version: string;
  /** Null on a page for one visitor. */
  readonly kiosk: KioskSettings | null;
  /** Other origins that links may fetch scans from. */
  readonly scan_origins: readonly string[];
  /** Origins whose pages may embed this one and send it messages; `self`: its own. */
  readonly embed_origins: readonly string[];
  readonly models: readonly (UsableModel | BrokenModel)[];
}

/** Throws an Error with a sentence for the visitor. */
export async function fetchCatalogue(): Promise<Catalogue> {
  let response: Response;
  try {
    response = await fetch('api/models');
  } catch {
    throw new TextError(say('open.listSilent'));
  }
  if (!response.ok) throw new TextError(say('open.listStatus', { status: String(response.status) }));
  return (await response.json()) as Catalogue;
}

export function sourceOf(model: UsableModel): ModelSource {
  const at = (file: string): string => new URL(model.url + file, document.baseURI).href;
  return { kind: 'url', name: model.name, modelUrl: at(model.files[0]), weightsUrl: at(model.files[1]) };
}
