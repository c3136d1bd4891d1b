// Folders of files: browsers give them for a chosen folder only, so folders of drops and zips are kept here.

const paths = new WeakMap<File, string>();

/** Notes that the file lay at this path, such as "sub-01/anat/T1w.nii.gz". Returns the file. */
export function withPath(file: File, path: string): File {
  paths.set(file, path.replace(/^\//, ''));
  return file;
}

/** The file's path as far as it is known; its name alone otherwise. */
export function pathOf(file: File): string {
  return paths.get(file) ?? (file.webkitRelativePath || file.name);
}
