// Header facts of a DICOM series that a segmentation of it needs; no pixels (some hundred bytes per slice). Where a series
// has several volumes, its files are kept too, as references: the pixels tell whose slice it is.

/** Place of one slice, in DICOM's patient axes (LPS) and mm, as text: it is written as it was read. */
export interface SlicePlace {
  /** ImagePositionPatient, the centre of the first pixel: "x\y\z". */
  readonly position: string;
  /** ImageOrientationPatient: direction along a row, then along a column. */
  readonly orientation: string;
  /** PixelSpacing: between rows, then between columns. */
  readonly spacing: string;
  /** SliceThickness; null where the slice has none. */
  readonly thickness: string | null;
  /** RescaleSlope and RescaleIntercept: stored pixel · slope + intercept is the value. */
  readonly rescale: readonly [slope: number, intercept: number];
}

/** Where the pixels of an uncompressed image lie in its file, and how they are stored. */
export interface StoredPixels {
  /** Byte of the first pixel of the first frame. */
  readonly offset: number;
  readonly bitsAllocated: 8 | 16 | 32;
  readonly isSigned: boolean;
  readonly littleEndian: boolean;
}

/** An image file: one slice, or all frames of a multi-frame image. */
export interface DicomImage {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly rows: number;
  readonly columns: number;
  /** Of each frame; one of a single-frame image. */
  readonly frames: readonly SlicePlace[];
  readonly instanceNumber: number;
  /** A reference to the file, kept where several slices of the series lie in one place; null otherwise. */
  readonly file: Blob | null;
  /** Null where the pixels are compressed. */
  readonly pixels: StoredPixels | null;
}

/** An element as it stands in the file. */
export interface RawElement {
  /** Group and element: 0x00100010. */
  readonly tag: number;
  readonly vr: string;
  readonly value: Uint8Array;
}

export interface DicomSeries {
  readonly seriesUid: string;
  readonly frameOfReferenceUid: string;
  readonly seriesNumber: number;
  /** Attributes of patient and study, which the segmentation shares with its series. */
  readonly study: readonly RawElement[];
  readonly images: readonly DicomImage[];
}
