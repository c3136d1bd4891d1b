// results.json of the zip: how every result was made, and its volumes; each result has the keys of a sidecar.
import type { Sidecar } from '../../generated/sidecar';
import { sidecarOf } from '../../volume/sidecar';
import { toolNames } from '../edit/history';
import { inEnglish } from '../texts/language';
import { notesOfResult } from '../studies';
import type { Result, Study } from '../studies';

/** Of saved labels. `allLabels`: they have the tissue around a lesion too; `space`: their grid, the scan's own if not given. */
export interface Written {
  readonly version: string;
  readonly allLabels: boolean;
  readonly space?: 'native' | 'conformed';
}

/** A result's DICOM-SEG in the zip, or the reason why there is none. */
export interface DicomSegInZip {
  readonly file: string | null;
  readonly reason: string | null;
}

/** Names of files in the zip. */
export interface InZip {
  /** The mask, by the result's id. */
  readonly files: ReadonlyMap<number, string>;
  /** By the result's id; only of scans that came as DICOM. */
  readonly segmentations: ReadonlyMap<number, DicomSegInZip>;
  /** SHA-256 of a scan's files, by the scan's id. */
  readonly digests: ReadonlyMap<number, string | null>;
}

export function resultsJson(studies: readonly Study[], { files, segmentations, digests }: InZip, written: Written, created: Date): string {
  const content = {
    format: 'meshnet-results',
    version: 1,
    software: { name: 'MeshNet', version: written.version, interface: 'page' },
    created: created.toISOString().replace(/\.\d+Z$/, 'Z'),
    scans: studies.map((study) => ({
      name: study.name,
      frame: study.source.frame,
      shape: study.facts?.summary.dims ?? null,
      voxel_size_mm: study.facts?.summary.voxelSizeMm ?? null,
      state: study.job.kind === 'none' || study.job.kind === 'done' ? (study.results.length > 0 ? 'done' : 'not segmented') : study.job.kind,
      reason: study.job.kind === 'failed' ? inEnglish(study.job.reason) : null,
      results: study.results.map((result) => resultOf(result, files.get(result.id) ?? null, segmentations.get(result.id) ?? null, sidecarOfResult(study, result, written, created, digests.get(study.source.id) ?? null))),
    })),
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** How a result was made: the JSON beside a mask of meshnet-predict has these keys (docs/sidecar.md). `sha256` of the scan's
 * files is null where it is not known. */
export function sidecarOfResult(study: Study, result: Result, { version, allLabels, space = 'native' }: Written, created: Date, sha256: string | null): Sidecar {
  const { spec, report, outcome, threshold, mirror, smallestMl, keepOutsideBrain } = result;
  return sidecarOf({
    version,
    spec,
    engine: { backend: report.backend, device: report.device },
    source: { name: study.source.files[0]!.name, sha256, frame: study.source.frame },
    space,
    settings: { threshold, flip: mirror, remove_below_ml: smallestMl, keep_outside_brain: keepOutsideBrain, all_labels: allLabels },
    edits: toolNames(result),
    volumes: outcome.volumes,
    notes: notesOfResult(study, result),
    created,
  });
}

function resultOf(result: Result, file: string | null, dicomSeg: DicomSegInZip | null, sidecar: Sidecar): object {
  const { model, engine, source, settings, edits, volumes, notes } = sidecar;
  return { file, ...(dicomSeg === null ? {} : { dicom_seg: dicomSeg.file, dicom_seg_reason: dicomSeg.reason }), model, engine, source, settings, edits, volumes, notes, seconds: Number((result.report.milliseconds / 1000).toFixed(3)) };
}
