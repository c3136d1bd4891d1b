// NRRD (.nrrd, or .nhdr with its data file): http://teem.sourceforge.net/nrrd/format.html. Axes and spaces as ITK's NrrdImageIO
// reads them.
import { ScanError } from './errors';
import { gunzip } from './gzip';
import { TYPES, checkSizes, dataFile, itkImage, numbersOf, refuseComponents, voxelsOfText, type DataFile, type ItkImage, type TypeName } from './itk-image';

const TYPE_NAMES: Readonly<Record<string, TypeName>> = {
  'signed char': 'int8', int8: 'int8', int8_t: 'int8',
  uchar: 'uint8', 'unsigned char': 'uint8', uint8: 'uint8', uint8_t: 'uint8',
  short: 'int16', 'short int': 'int16', 'signed short': 'int16', 'signed short int': 'int16', int16: 'int16', int16_t: 'int16',
  ushort: 'uint16', 'unsigned short': 'uint16', 'unsigned short int': 'uint16', uint16: 'uint16', uint16_t: 'uint16',
  int: 'int32', 'signed int': 'int32', int32: 'int32', int32_t: 'int32',
  uint: 'uint32', 'unsigned int': 'uint32', uint32: 'uint32', uint32_t: 'uint32',
  longlong: 'int64', 'long long': 'int64', 'long long int': 'int64', 'signed long long': 'int64', 'signed long long int': 'int64', int64: 'int64', int64_t: 'int64',
  ulonglong: 'uint64', 'unsigned long long': 'uint64', 'unsigned long long int': 'uint64', uint64: 'uint64', uint64_t: 'uint64',
  float: 'float32', double: 'float64',
};

/** Signs that turn a named space into LPS; another name (scanner-xyz, …) is taken as LPS. */
const TO_LPS: readonly (readonly [pattern: RegExp, signs: readonly [number, number, number]])[] = [
  [/^(right-anterior-superior(-time)?|RAST?)$/i, [-1, -1, 1]],
  [/^(left-anterior-superior(-time)?|LAST?)$/i, [1, -1, 1]],
];

/** Kinds of axes that are places; any other kind holds the parts of one value. */
const PLACE = /^(domain|space|time|none|\?\?\?)$/i;

export function isNrrd(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(0, 7)) === 'NRRD000';
}

/** Raises ScanError. `beside`: the files that came with it. */
export function parseNrrd(bytes: Uint8Array, name: string, beside: readonly DataFile[], maxBytes: number): ItkImage {
  const { fields, end } = headerOf(bytes, name);
  const field = (key: string): string => {
    const value = fields.get(key);
    if (value === undefined) throw new ScanError(`${name}: its NRRD header has no “${key}”; get the file again`);
    return value;
  };
  const sizes = numbersOf(field('sizes'), 'sizes', name);
  const type = TYPE_NAMES[field('type').toLowerCase()];
  if (type === undefined) throw new ScanError(`${name}: its voxels are of type “${field('type')}”, expected whole or real numbers; convert the scan to .nii.gz`);
  refuseParts(fields.get('kinds') ?? '', sizes, name);
  checkSizes(sizes, name);
  const { steps, origin } = geometryOf(fields, sizes.length, name);

  const named = fields.get('data file') ?? fields.get('datafile');
  if (named !== undefined && (/^LIST\b/.test(named) || named.includes('%'))) throw new ScanError(`${name}: its voxels are in a list of files; convert the scan to .nii.gz`);
  const whole = named === undefined ? bytes.subarray(end) : dataFile(named, beside, name);
  const encoding = field('encoding').toLowerCase();
  const isText = ['ascii', 'text', 'txt'].includes(encoding);
  const skip = (key: string): number => numbersOf(fields.get(`${key} skip`) ?? fields.get(`${key}skip`) ?? '0', `${key} skip`, name)[0]!;
  const stored = afterLines(whole, skip('line'));
  const voxels = isText
    ? voxelsOfText(stored, type)
    : afterBytes(unpacked(stored, encoding, name, maxBytes), skip('byte'), sizes.reduce((product, size) => product * size, TYPES[type][1]));
  const isLittle = isText || fields.get('endian')?.toLowerCase() !== 'big';
  return itkImage({ sizes, steps, origin }, type, isLittle, voxels, fields.has('space'));
}

/** Fields of the header by their names in lower case, and where the voxels begin. */
function headerOf(bytes: Uint8Array, name: string): { fields: Map<string, string>; end: number } {
  const fields = new Map<string, string>();
  let end = 0;
  while (end < bytes.length) {
    const newline = bytes.indexOf(10, end);
    const stop = newline < 0 ? bytes.length : newline;
    const line = new TextDecoder('utf-8').decode(bytes.subarray(end, stop)).replace(/\r$/, '');
    end = stop + 1;
    if (line === '') return { fields, end };
    const found = /^([^:=#]+):\s+(.*)$/.exec(line) ?? /^([^:=#]+):(?!=)(.*)$/.exec(line);
    if (found !== null) fields.set(found[1]!.trim().toLowerCase(), found[2]!.trim());
  }
  if (!fields.has('data file') && !fields.has('datafile')) throw new ScanError(`${name}: its NRRD header does not end, so that the file is cut short; get it again`);
  return { fields, end: bytes.length };
}

function refuseParts(kinds: string, sizes: readonly number[], name: string): void {
  const parts = kinds === '' ? [] : kinds.split(/\s+/).map((kind, axis) => (PLACE.test(kind) ? 1 : sizes[axis] ?? 1));
  refuseComponents(parts.reduce((product, size) => product * size, 1), name);
}

/** Steps of the first three axes and origin, LPS. Without directions they are along the axes, by the spacings (1 where there are none). */
function geometryOf(fields: ReadonlyMap<string, string>, rank: number, name: string): { steps: number[][]; origin: number[] } {
  const signs = TO_LPS.find(([pattern]) => pattern.test(fields.get('space') ?? ''))?.[1] ?? [1, 1, 1];
  const turned = (vector: readonly number[]): number[] => signs.map((sign, n) => sign * vector[n]!);
  const vectors = (text: string, key: string): number[][] => text.match(/\([^)]*\)|none/gi)?.map((vector) =>
    numbersOf(vector.replace(/[(),]/g, ' ').replace(/none/i, '0 0 0'), key, name)) ?? [];
  const directions = vectors(fields.get('space directions') ?? '', 'space directions');
  if (directions.length > 0 && (directions.length !== rank || directions.some((step) => step.length < 3))) {
    throw new ScanError(`${name}: its header has ${directions.length} space directions, expected ${rank}; get the file again`);
  }
  const spacings = fields.has('spacings') ? numbersOf(fields.get('spacings')!.replace(/nan/gi, '1'), 'spacings', name) : [1, 1, 1];
  const steps = directions.length > 0 ? directions.slice(0, 3) : [0, 1, 2].map((axis) => [0, 1, 2].map((n) => (n === axis ? spacings[axis]! : 0)));
  const [origin] = vectors(fields.get('space origin') ?? '(0,0,0)', 'space origin');
  return { steps: steps.map(turned), origin: turned(origin ?? [0, 0, 0]) };
}

function afterLines(bytes: Uint8Array, lines: number): Uint8Array {
  let start = 0;
  for (let n = 0; n < lines; n++) start = bytes.indexOf(10, start) + 1;
  return bytes.subarray(start);
}

/** `skip` −1: the voxels are the last `size` bytes. */
function afterBytes(bytes: Uint8Array, skip: number, size: number): Uint8Array {
  return bytes.subarray(skip < 0 ? Math.max(0, bytes.length - size) : skip);
}

function unpacked(bytes: Uint8Array, encoding: string, name: string, maxBytes: number): Uint8Array {
  if (encoding === 'raw') return bytes;
  if (encoding === 'gzip' || encoding === 'gz') return gunzip(bytes, name, maxBytes);
  throw new ScanError(`${name}: its NRRD encoding is “${encoding}”, expected raw, gzip or ascii; convert the scan to .nii.gz`);
}
