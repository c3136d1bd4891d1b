// Reads the content of a URL, also of a `file:` URL under Node, whose fetch refuses those.

interface NodeProcess {
  readonly getBuiltinModule?: (name: 'node:fs/promises') => { readonly readFile: (path: URL) => Promise<Uint8Array<ArrayBuffer>> };
}

/** As `fetch`, for http, https, data and blob URLs and, under Node and Deno, `file:` URLs. */
export async function readUrl(url: string, init: RequestInit = {}): Promise<Response> {
  if (!url.startsWith('file:')) return fetch(url, init);
  const { process } = globalThis as { readonly process?: NodeProcess };
  const files = process?.getBuiltinModule?.('node:fs/promises');
  // Deno's fetch reads files itself; a browser refuses with its own reason.
  return files === undefined ? fetch(url, init) : new Response(await files.readFile(new URL(url)));
}
