// The panel "Mesh": label, quality and format of a saved mesh.
import type { MeshFormat } from '../../volume/mesh/formats';
import type { MeshQuality } from '../../volume/mesh/quality';
import type { Result } from '../studies';
import { t } from '../texts/language';
import { byId } from './dom';

/** Value of the choice of all labels in the picture. */
const SHOWN = 'shown';

export interface MeshChoice {
  /** Labels of the mesh. */
  readonly indices: readonly number[];
  /** Name of the label, or "shown". */
  readonly label: string;
  readonly quality: MeshQuality;
  readonly format: MeshFormat;
}

/** Lists the labels that the result has; the visitor's choice stays where it is listed still. */
export function showMeshLabels(result: Result | null): void {
  const list = byId('mesh-label', HTMLSelectElement);
  const before = list.value;
  const found = foundLabels(result);
  const options = found.map(({ index, name }) => new Option(name, String(index)));
  list.replaceChildren(...(found.length === 1 ? options : [new Option(t('mesh.shown'), SHOWN), ...options]));
  if (options.some(({ value }) => value === before)) list.value = before;
}

export function readMeshChoice({ visible, spec }: Result): MeshChoice {
  const { value } = byId('mesh-label', HTMLSelectElement);
  return {
    indices: value === SHOWN ? visible : [Number(value)],
    label: value === SHOWN ? SHOWN : spec.labels[Number(value)]!.name,
    quality: byId('mesh-quality', HTMLSelectElement).value as MeshQuality,
    format: byId('mesh-format', HTMLSelectElement).value as MeshFormat,
  };
}

function foundLabels(result: Result | null): Result['spec']['labels'] {
  return result?.spec.labels.filter(({ index }) => index !== 0 && (result.outcome.volumes[index]?.voxels ?? 0) > 0) ?? [];
}
