// Notes of dcm2niix's conversion, by the file that it made.
import { note } from '../../volume/notes';
import type { Note, Repair } from '../../volume/notes';
import { RESAMPLED } from './choices';
import { stemOf } from './format';

const notesOfFile = new WeakMap<File, readonly Note[]>();

/** The notes of the conversion that made this file; none for any other file. */
export function conversionNotesOf(file: File): readonly Note[] {
  return notesOfFile.get(file) ?? [];
}

/** Keeps the notes of a converted file: how it was resampled, by its name, and dcm2niix's warnings. */
export function noteConversion(file: File, warnings: readonly string[]): void {
  const repair = RESAMPLED.exec(stemOf(file.name))?.[1];
  notesOfFile.set(file, [
    ...(repair === undefined ? [] : [note('dicom-resampled', repair as Repair)]),
    ...warnings.map((text) => note('dicom-warning', text)),
  ]);
}

/** Gives a renamed file the notes of the one that it was made from. */
export function copyNotes(from: File, to: File): void {
  notesOfFile.set(to, conversionNotesOf(from));
}
