// The text a visitor copies into a report. It holds no file name: names often identify patients.
import type { ModelSpec } from '../../generated/model-spec';
import type { BackendChoice, RunReport, ScanSummary } from '../../worker/protocol';
import type { Note } from '../../volume/notes';
import { BACKEND_NAMES } from '../../engine/choose';
import { formatBytes, formatVoxelSize } from './format';

export interface DiagnosticFacts {
  readonly version: string;
  readonly browser: string;
  readonly isolated: boolean;
  readonly threads: number;
  readonly scan: ScanSummary | null;
  readonly notes: readonly Note[];
  readonly spec: ModelSpec | null;
  readonly choice: BackendChoice | null;
  readonly report: RunReport | null;
  readonly lastError: string | null;
}

export function diagnosticsText(facts: DiagnosticFacts): string {
  const { scan, spec, report } = facts;
  const chosen = report ?? facts.choice;
  const lines = [
    `MeshNet ${facts.version}`,
    `Browser: ${facts.browser}`,
    `Logical processors: ${facts.threads}; cross-origin isolated: ${facts.isolated ? 'yes' : 'no (CPU runs on one thread)'}`,
    scan === null ? 'Scan: none' : `Scan: ${scan.dims.join(' × ')} voxels of ${formatVoxelSize(scan.voxelSizeMm, 'en')}, ${scan.dtype}`,
    ...facts.notes.map(({ code, text }) => `  note: ${text} [${code}]`),
    spec === null ? 'Model: none' : `Model: ${modelLine(spec)}`,
  ];
  if (chosen !== null) {
    lines.push(`Backend: ${BACKEND_NAMES[chosen.backend]} on ${chosen.device}`);
    for (const reason of chosen.whyNot) lines.push(`  not ${reason}`);
    for (const [name, value] of Object.entries(chosen.details)) lines.push(`  ${name}: ${value}`);
  }
  if (report !== null) {
    lines.push(`Inference: ${(report.milliseconds / 1000).toFixed(2)} s`);
    lines.push(`Memory of the engine: ${formatBytes(report.peakBytes, 'en')} at most, largest buffer ${formatBytes(report.largestBufferBytes, 'en')}`);
    for (const { name, milliseconds, gpuMilliseconds } of report.timings) {
      const gpu = gpuMilliseconds === undefined ? '' : `, ${gpuMilliseconds.toFixed(0)} ms of it in kernels`;
      lines.push(`  ${name}: ${milliseconds.toFixed(0)} ms${gpu}`);
    }
  }
  if (facts.lastError !== null) lines.push(`Last error: ${facts.lastError}`);
  return lines.join('\n');
}

function modelLine(spec: ModelSpec): string {
  const { channels, classes, dilations, activation, norm } = spec.architecture;
  return `${spec.id} (${dilations.length} layers × ${channels} channels, ${classes} classes, ${activation}, norm ${norm.kind}, ${spec.weights.dtype}, SHA-256 ${spec.weights.sha256.slice(0, 12)}…)`;
}
