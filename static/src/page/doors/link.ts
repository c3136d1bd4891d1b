// Links to a scan: ?scan=URL&model=ID&run=1.
import { TextError } from '../texts/language';
import { say } from '../texts/message';

export interface Link {
  /** Absolute addresses of the files of one or more scans; empty where the link names none. */
  readonly scans: readonly URL[];
  /** Id of a model in the list; null for the one that is picked anyway. */
  readonly model: string | null;
  /** Whether the scan is segmented as soon as it is open. */
  readonly run: boolean;
}

/** The link in the page's address `href`; relative addresses of scans are below the page. Throws an Error that names the parameter. */
export function readLink(href: string): Link {
  const query = new URL(href).searchParams;
  const run = query.get('run');
  if (run !== null && run !== '0' && run !== '1') throw new TextError(say('link.run', { value: run }));
  const scans = query.getAll('scan').map((text) => addressOf(text, href));
  if (run === '1' && scans.length === 0) throw new TextError(say('link.runAlone'));
  return { scans, model: query.get('model'), run: run === '1' };
}

/** Throws an Error for a text that is no address of a file on a web server. */
export function addressOf(text: string, base: string): URL {
  let address: URL | null = null;
  try {
    address = new URL(text, base);
  } catch {
    // the sentence below
  }
  if (text === '' || address === null || !/^https?:$/.test(address.protocol)) {
    throw new TextError(say('link.address', { value: text }));
  }
  return address;
}
