// The package brings no types; these are the parts used here.
declare module '@niivue/dcm2niix' {
  /** Options are those of the command line, each a method of the same name. */
  interface Conversion {
    f(name: string): Conversion;
    b(sidecar: 'y' | 'n'): Conversion;
    z(compress: 'y' | 'n'): Conversion;
    x(crop: 'y' | 'n' | 'i'): Conversion;
    run(): Promise<File[]>;
  }
  export class Dcm2niix {
    readonly worker: Worker | null;
    init(): Promise<true>;
    input(files: readonly File[]): Conversion;
  }
}
