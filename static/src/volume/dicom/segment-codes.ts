// SNOMED CT codes of a model's labels. Twin of meshnet/infer/segment_codes.py; both read one table (its copy here is
// src/generated/segment-codes.json).
import type { Label } from '../../generated/model-spec';
import table from '../../generated/segment-codes.json';

/** Code value and meaning. */
export type Code = readonly [value: string, meaning: string];

export interface SegmentCodes {
  readonly category: Code;
  readonly type: Code;
  /** Null where the type is a structure itself. */
  readonly region: Code | null;
}

interface Row {
  readonly names?: readonly string[];
  readonly prefix?: string;
  readonly task?: string;
  readonly category: string;
  readonly type: readonly string[];
  readonly inBrain?: boolean;
}

/** The codes of a label by its name and the model's task; those of tissue where the table has no entry. */
export function codesOf(label: Pick<Label, 'name'>, task: string): SegmentCodes {
  const words = (label.name.toLowerCase().match(/[a-z0-9]+/g) ?? []).filter((word) => !table.ignoredWords.includes(word));
  const name = words.join(' ');
  const rows: readonly Row[] = table.labels;
  const fits = (row: Row): boolean =>
    task.toLowerCase().includes(row.task ?? '') && (row.names!.includes(name) || (row.prefix !== undefined && name.startsWith(row.prefix)));
  const row: Row = rows.find(fits) ?? table.fallback;
  return {
    category: code(table.categories[row.category as keyof typeof table.categories]),
    type: code(row.type),
    region: row.inBrain === true ? code(table.brain) : null,
  };
}

function code([value, meaning]: readonly string[]): Code {
  return [value!, meaning!];
}
