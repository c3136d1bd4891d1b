// The pixels of uncompressed DICOM images.
import type { VoxelArray } from '../volume';
import type { DicomImage } from './types';

/** Stored pixels of one frame (from 0), row by row; null where they are compressed, cut short or their file is not kept. */
export async function readPixels({ rows, columns, file, pixels }: DicomImage, frame: number): Promise<VoxelArray | null> {
  if (file === null || pixels === null) return null;
  const { bitsAllocated, isSigned, littleEndian } = pixels;
  const size = (rows * columns * bitsAllocated) / 8;
  const start = pixels.offset + frame * size;
  const view = new DataView(await file.slice(start, start + size).arrayBuffer());
  if (view.byteLength < size) return null;
  const out = new Float64Array(rows * columns);
  for (let n = 0; n < out.length; n++) {
    if (bitsAllocated === 8) out[n] = isSigned ? view.getInt8(n) : view.getUint8(n);
    else if (bitsAllocated === 16) out[n] = isSigned ? view.getInt16(2 * n, littleEndian) : view.getUint16(2 * n, littleEndian);
    else out[n] = isSigned ? view.getInt32(4 * n, littleEndian) : view.getUint32(4 * n, littleEndian);
  }
  return out;
}
