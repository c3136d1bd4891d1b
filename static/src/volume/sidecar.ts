// The JSON beside a saved result: the same keys as `meshnet-predict --sidecar` writes (docs/sidecar.md).
import type { ModelSpec } from '../generated/model-spec';
import type { Sidecar } from '../generated/sidecar';
import type { Note } from './notes';

export interface SidecarParts {
  /** Of the software. */
  readonly version: string;
  readonly spec: Pick<ModelSpec, 'id' | 'name' | 'weights' | 'labels'>;
  readonly engine: Readonly<Sidecar['engine']>;
  readonly source: Readonly<Sidecar['source']>;
  readonly space: Sidecar['space'];
  readonly settings: Readonly<Sidecar['settings']>;
  /** Tools that changed the labels by hand, in order. */
  readonly edits: readonly string[];
  /** On the scan's own grid; labels that are missing have no voxel. */
  readonly volumes: readonly { readonly index: number; readonly voxels: number; readonly volumeMl: number }[];
  readonly notes: readonly Note[];
  readonly created: Date;
}

export function sidecarOf({ version, spec, engine, source, space, settings, edits, volumes, notes, created }: SidecarParts): Sidecar {
  const byIndex = new Map(volumes.map((volume) => [volume.index, volume]));
  return {
    format: 'meshnet-result',
    version: 1,
    software: { name: 'MeshNet', version, interface: 'page' },
    created: created.toISOString().replace(/\.\d+Z$/, 'Z'),
    command: null,
    model: { id: spec.id, name: spec.name, sha256: spec.weights.sha256 },
    engine: { backend: engine.backend, device: engine.device },
    source: { name: source.name, sha256: source.sha256, frame: source.frame },
    space,
    settings: {
      threshold: settings.threshold,
      flip: settings.flip,
      remove_below_ml: settings.remove_below_ml,
      keep_outside_brain: settings.keep_outside_brain,
      all_labels: settings.all_labels,
    },
    edits: [...edits],
    volumes: spec.labels.map(({ index, name }) => {
      const { voxels, volumeMl } = byIndex.get(index) ?? { voxels: 0, volumeMl: 0 };
      return { index, name, voxels, volume_ml: Number(volumeMl.toFixed(4)) };
    }),
    notes: notes.map(({ code, text }) => ({ code, text })),
  };
}

/** SHA-256 in hex of a file; of several files that of their digests, sorted and joined by line feeds. Null on a page
 * without https, where browsers have no digest. */
export async function sha256OfFiles(files: readonly Blob[]): Promise<string | null> {
  // The types promise it everywhere.
  if ((crypto as { readonly subtle?: SubtleCrypto }).subtle === undefined) return null;
  const hex = async (bytes: BufferSource): Promise<string> =>
    Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const digests = await Promise.all(files.map(async (file) => hex(await file.arrayBuffer())));
  return digests.length === 1 ? digests[0]! : hex(new TextEncoder().encode(digests.sort().join('\n')));
}
