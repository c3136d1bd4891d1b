// results.json of the zip: how every result was made, and its volumes; keys as in the sidecars of meshnet-predict
// (docs/sidecar.md).
import { notesOfResult } from '../studies';
import type { Result, Study } from '../studies';

/** `files`: the result's mask in the zip, by the result's id. */
export function resultsJson(studies: readonly Study[], files: ReadonlyMap<number, string>, version: string, created: Date): string {
  const content = {
    format: 'meshnet-results',
    version: 1,
    software: { name: 'MeshNet', version, interface: 'page' },
    created: created.toISOString().replace(/\.\d+Z$/, 'Z'),
    scans: studies.map((study) => ({
      name: study.name,
      frame: study.source.frame,
      shape: study.facts?.summary.dims ?? null,
      voxel_size_mm: study.facts?.summary.voxelSizeMm ?? null,
      state: study.job.kind === 'none' || study.job.kind === 'done' ? (study.results.length > 0 ? 'done' : 'not segmented') : study.job.kind,
      reason: study.job.kind === 'failed' ? study.job.reason : null,
      results: study.results.map((result) => resultOf(study, result, files.get(result.id) ?? null)),
    })),
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

function resultOf(study: Study, result: Result, file: string | null): object {
  const { spec, report, outcome, smallestMl, mirror, threshold } = result;
  return {
    file,
    model: { id: spec.id, name: spec.name, sha256: spec.weights.sha256 },
    engine: { backend: report.backend, device: report.device },
    seconds: Number((report.milliseconds / 1000).toFixed(3)),
    settings: { threshold, flip: mirror, remove_below_ml: smallestMl },
    volumes: spec.labels.map(({ index, name }) => {
      const { voxels, volumeMl } = outcome.volumes[index] ?? { voxels: 0, volumeMl: 0 };
      return { index, name, voxels, volume_ml: Number(volumeMl.toFixed(4)) };
    }),
    notes: notesOfResult(study, result).map(({ code, text }) => ({ code, text })),
  };
}
