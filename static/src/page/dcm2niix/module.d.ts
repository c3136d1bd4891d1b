// The package brings no types. vite.config.ts gives its Emscripten module this name; these are the parts used here.
declare module 'dcm2niix-module' {
  interface FileSystem {
    mkdir(path: string): void;
    createDataFile(folder: string, name: string, data: Uint8Array, canRead: boolean, canWrite: boolean): void;
    readdir(path: string): string[];
    readFile(path: string): Uint8Array<ArrayBuffer>;
  }
  interface Dcm2niixModule {
    readonly FS: FileSystem;
    /** Runs the program; returns its exit code. */
    callMain(args: string[]): number;
  }
  export default function createModule(options: { print(line: string): void; printErr(line: string): void }): Promise<Dcm2niixModule>;
}
