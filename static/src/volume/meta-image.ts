// MetaImage (.mha, or .mhd with its data file): https://itk.org/Wiki/ITK/MetaIO/Documentation. ITK's MetaImageIO reads the same.
import { ScanError } from './errors';
import { TYPES, checkSizes, dataFile, itkImage, numbersOf, refuseComponents, unzlib, voxelsOfText, type DataFile, type ItkImage, type TypeName } from './itk-image';

const TYPE_NAMES: Readonly<Record<string, TypeName>> = {
  MET_CHAR: 'int8', MET_UCHAR: 'uint8', MET_SHORT: 'int16', MET_USHORT: 'uint16', MET_INT: 'int32', MET_UINT: 'uint32',
  MET_LONG: 'int32', MET_ULONG: 'uint32', MET_LONG_LONG: 'int64', MET_ULONG_LONG: 'uint64', MET_FLOAT: 'float32', MET_DOUBLE: 'float64',
};

const LONGEST_HEADER_BYTES = 2 ** 16;

/** As meshnet/scan/itk_formats.py has it. */
export function isMetaImage(bytes: Uint8Array): boolean {
  return /^\s*(?:Comment\s*=[^\n]*\n)?\s*(?:ObjectType\s*=\s*Image|NDims\s*=\s*\d)/.test(String.fromCharCode(...bytes.subarray(0, 300)));
}

/** Raises ScanError. `beside`: the files that came with it. */
export function parseMetaImage(bytes: Uint8Array, name: string, beside: readonly DataFile[]): ItkImage {
  const { fields, end } = headerOf(bytes, name);
  const field = (...keys: readonly string[]): string | undefined => keys.map((key) => fields.get(key)).find((value) => value !== undefined);
  const needed = (key: string): string => {
    const value = field(key);
    if (value === undefined) throw new ScanError(`${name}: its MetaImage header has no ${key}; get the file again`);
    return value;
  };
  const isTrue = (...keys: readonly string[]): boolean => /^(true|t|1)$/i.test(field(...keys) ?? 'False');
  const rank = numbersOf(needed('NDims'), 'NDims', name)[0]!;
  const sizes = numbersOf(needed('DimSize'), 'DimSize', name).slice(0, rank);
  refuseComponents(numbersOf(field('ElementNumberOfChannels') ?? '1', 'ElementNumberOfChannels', name)[0]!, name);
  checkSizes(sizes, name);
  const type = TYPE_NAMES[needed('ElementType')];
  if (type === undefined) throw new ScanError(`${name}: its voxels are of type ${needed('ElementType')}, expected whole or real numbers; convert the scan to .nii.gz`);

  const spacing = numbersOf(field('ElementSpacing', 'ElementSize') ?? sizes.map(() => 1).join(' '), 'ElementSpacing', name);
  const matrix = field('TransformMatrix', 'Rotation', 'Orientation');
  const directions = matrix === undefined ? null : numbersOf(matrix, 'TransformMatrix', name);
  const origin = numbersOf(field('Offset', 'Position', 'Origin') ?? sizes.map(() => 0).join(' '), 'Offset', name);
  if (spacing.length < rank || origin.length < rank || (directions !== null && directions.length !== rank * rank)) {
    throw new ScanError(`${name}: its MetaImage header has too few numbers for ${rank} axes; get the file again`);
  }
  // The matrix is written axis by axis: its first `rank` numbers are the direction of i.
  const steps = [0, 1, 2].map((axis) => [0, 1, 2].map((n) => (directions === null ? Number(n === axis) : directions[axis * rank + n]!) * spacing[axis]!));

  const size = sizes.reduce((product, length) => product * length, TYPES[type][1]);
  const named = needed('ElementDataFile');
  if (/^LIST\b/.test(named) || named.includes('%')) throw new ScanError(`${name}: its voxels are in a list of files; convert the scan to .nii.gz`);
  const whole = /^LOCAL$/i.test(named) ? bytes.subarray(end) : dataFile(named, beside, name);
  const isText = field('BinaryData') !== undefined && !isTrue('BinaryData');
  // A HeaderSize of −1: the voxels are the last bytes.
  const skip = numbersOf(field('HeaderSize') ?? '0', 'HeaderSize', name)[0]!;
  const stored = whole.subarray(skip >= 0 || isTrue('CompressedData') ? Math.max(0, skip) : Math.max(0, whole.length - size));
  const voxels = isText ? voxelsOfText(stored, type) : isTrue('CompressedData') ? unzlib(ofLength(stored, field('CompressedDataSize')), size, name) : stored;
  const isLittle = isText || !isTrue('BinaryDataByteOrderMSB', 'ElementByteOrderMSB');
  return itkImage({ sizes, steps, origin }, type, isLittle, voxels, directions !== null);
}

function ofLength(bytes: Uint8Array, length: string | undefined): Uint8Array {
  return length === undefined || !(Number(length) > 0) ? bytes : bytes.subarray(0, Number(length));
}

/** Fields of the header, of which ElementDataFile is the last, and where the voxels begin. */
function headerOf(bytes: Uint8Array, name: string): { fields: Map<string, string>; end: number } {
  const fields = new Map<string, string>();
  for (let end = 0; end < Math.min(bytes.length, LONGEST_HEADER_BYTES);) {
    const newline = bytes.indexOf(10, end);
    const stop = newline < 0 ? bytes.length : newline;
    const [, key, value] = /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(new TextDecoder('utf-8').decode(bytes.subarray(end, stop))) ?? [];
    end = stop + 1;
    if (key === undefined) continue;
    fields.set(key, value!);
    if (key === 'ElementDataFile') return { fields, end };
  }
  throw new ScanError(`${name}: its MetaImage header has no ElementDataFile, so that the file is cut short; get it again`);
}
