// Options in the page's address, for tests and for trouble reports.
import type { BackendOptions } from '../../worker/protocol';
import type { BackendId } from '../../engine/types';
import { TextError } from '../texts/language';
import { say } from '../texts/message';

const BACKENDS: readonly BackendId[] = ['webgpu', 'webgl2', 'cpu', 'tfjs'];

/** `?backend=webgpu|webgl2|cpu|tfjs` and `?maxBufferMB=N`. Throws an Error that names the allowed values. */
export function readOptions(search: string): BackendOptions {
  const query = new URLSearchParams(search);
  const backend = query.get('backend');
  const forced = BACKENDS.find((id) => id === backend) ?? null;
  if (backend !== null && forced === null) throw new TextError(say('open.noBackend', { backend, known: BACKENDS.join(', ') }));
  const megabytes = query.get('maxBufferMB');
  if (megabytes !== null && !(Number(megabytes) > 0)) throw new TextError(say('open.noMegabytes', { megabytes }));
  return { forced, maxBufferBytes: megabytes === null ? null : Number(megabytes) * 2 ** 20 };
}
