import { expect, test } from 'vitest';
import { sha256OfFiles, sidecarOf } from './sidecar';

const SPEC = {
  id: 't2-lesion',
  name: 'Stroke lesion',
  weights: { file: 'weights.safetensors', dtype: 'float16', sha256: 'a'.repeat(64) },
  labels: [{ index: 0, name: 'background', color: [0, 0, 0], freesurfer_id: null }, { index: 1, name: 'lesion', color: [230, 60, 60], freesurfer_id: null }],
} as const;

test('a label without voxels is in the sidecar, with 0', () => {
  const sidecar = sidecarOf({
    version: '0.1.0',
    spec: SPEC as unknown as Parameters<typeof sidecarOf>[0]['spec'],
    engine: { backend: 'webgpu', device: 'Adapter' },
    source: { name: 'a.nii', sha256: null, frame: null },
    space: 'native',
    settings: { threshold: null, flip: false, remove_below_ml: 0.5, keep_outside_brain: false, all_labels: false },
    edits: [],
    volumes: [{ index: 0, voxels: 7, volumeMl: 0.123456 }],
    notes: [{ code: 'nothing-found', text: 'no voxel was labelled' }],
    created: new Date('2026-01-02T03:04:05.678Z'),
  });
  expect(sidecar.created).toBe('2026-01-02T03:04:05Z');
  expect(sidecar.volumes).toEqual([{ index: 0, name: 'background', voxels: 7, volume_ml: 0.1235 }, { index: 1, name: 'lesion', voxels: 0, volume_ml: 0 }]);
});

test('the digest of several files does not depend on their order', async () => {
  const [a, b] = [new Blob(['a']), new Blob(['b'])];
  expect(await sha256OfFiles([a])).toBe('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb');
  expect(await sha256OfFiles([a, b])).toBe(await sha256OfFiles([b, a]));
});
