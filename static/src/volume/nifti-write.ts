// uint8 volumes → .nii.gz bytes that keep the scan's place in space.
import { voxelSizeMm } from './affine';
import { gzip } from './gzip';
import { HEADER_BYTES, PLAIN_HEADER, serializeHeader, type NiftiHeader } from './nifti-header';
import type { Dims, Volume } from './volume';

/** NIFTI_INTENT_LABEL: viewers colour such a file, and meshnet-predict does not take it for a scan. */
const LABELS = 1002;

/**
 * Labels on the scan's own grid under the scan's own header: qform, sform, their codes, units, voxel sizes and
 * description stay; the type becomes uint8 without scaling, the shape 3-D, and extensions are left out.
 */
export function encodeNativeLabels(labels: Uint8Array, dims: Dims, source: NiftiHeader): Uint8Array {
  return encode(labels, { ...nativeHeader(dims, source), intent_code: LABELS });
}

/** The scan's header for uint8 voxels of the same grid. */
function nativeHeader(dims: Dims, source: NiftiHeader): NiftiHeader {
  return {
    ...source,
    dim: [3, ...dims, 1, 1, 1, 1],
    pixdim: [...source.pixdim.slice(0, 4), 1, 1, 1, 1],
    datatype: 2,
    bitpix: 8,
    vox_offset: HEADER_BYTES[source.version] + 4,
    scl_slope: 1,
    scl_inter: 0,
    cal_max: 0,
    cal_min: 0,
  };
}

/** A probability map, 0…255 for 0…1, on the scan's own grid: like labels, but with the scaling in the header. */
export function encodeNativeProbability(values: Uint8Array, dims: Dims, source: NiftiHeader): Uint8Array {
  return encode(values, { ...nativeHeader(dims, source), intent_code: source.intent_code, scl_slope: 1 / 255, cal_max: 1 });
}

/**
 * Labels on the conformed grid under a plain NIfTI-1 header, its affine as sform and qform, both with the code
 * of the form the scan's affine came from (2, aligned, where it had neither).
 */
export function encodeConformedLabels({ data, dims, affineVox2ras }: Volume<Uint8Array>, source: NiftiHeader): Uint8Array {
  const code = source.sform_code || source.qform_code || 2;
  return encode(data, {
    ...PLAIN_HEADER,
    intent_code: LABELS,
    quatern: [0, -HALF_TURN, HALF_TURN],
    dim: [3, ...dims, 1, 1, 1, 1],
    // LIA is left-handed: a half turn about (0, −1, 1), and the third axis flipped (−1 first).
    pixdim: [-1, ...voxelSizeMm(affineVox2ras), 1, 1, 1, 1],
    qform_code: code,
    sform_code: code,
    qoffset: [affineVox2ras[3]!, affineVox2ras[7]!, affineVox2ras[11]!],
    srow: affineVox2ras.slice(0, 12),
  });
}

const HALF_TURN = Math.SQRT1_2;

function encode(voxels: Uint8Array, header: NiftiHeader): Uint8Array {
  const head = serializeHeader(header);
  const bytes = new Uint8Array(head.length + voxels.length);
  bytes.set(head);
  bytes.set(voxels, head.length);
  return gzip(bytes);
}
