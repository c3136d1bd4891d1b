// Header facts of a DICOM series that a segmentation of it needs; no pixels (some hundred bytes per slice).

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
}

/** An image file: one slice, or all frames of a multi-frame image. */
export interface DicomImage {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly rows: number;
  readonly columns: number;
  /** Of each frame; one of a single-frame image. */
  readonly frames: readonly SlicePlace[];
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
