// Requests to a worker and their replies. A table of calls types both sides: `WorkerClient` (client.ts) asks,
// `answerCalls` answers. Every call has an id and gets exactly one reply or failure; until then the worker may
// report progress, and the page may cancel.
import { FramesError } from '../volume/errors';
import { messageOf } from '../engine/message';

/** A table of calls: by name, the request and the reply. */
export type CallTable<T> = { readonly [N in keyof T]: { readonly request: unknown; readonly reply: unknown } };

/** Why a call failed. */
export interface Failure {
  readonly name: string;
  /** A sentence for the visitor. */
  readonly message: string;
  /** Number of volumes of a 4-D file of which one must be chosen; null for other failures. */
  readonly frames: number | null;
}

export type ToWorker<T extends CallTable<T>> =
  | { readonly [N in keyof T]: { readonly kind: 'call'; readonly id: number; readonly call: N; readonly request: T[N]['request'] } }[keyof T]
  | { readonly kind: 'cancel'; readonly id: number };

export type FromWorker<T extends CallTable<T>, Progress> =
  | { readonly kind: 'reply'; readonly id: number; readonly value: T[keyof T]['reply'] }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'progress'; readonly id: number; readonly progress: Progress };

/** Passed to a handler beside its request. */
export interface CallContext<Progress> {
  readonly tell: (progress: Progress) => void;
  /** Aborted when the page cancels this call. */
  readonly signal: AbortSignal;
}

export type Handlers<T extends CallTable<T>, Progress> = {
  readonly [N in keyof T]: (request: T[N]['request'], context: CallContext<Progress>) => Promise<T[N]['reply']>;
};

export interface AnswerOptions<T extends CallTable<T>> {
  /** Buffers of a reply that are handed over instead of copied. */
  readonly transfer: (reply: T[keyof T]['reply']) => Transferable[];
  /** The sentence for an error; its message unless given. */
  readonly describe?: (error: unknown) => string;
}

/** Makes this worker answer the calls of the table. */
export function answerCalls<T extends CallTable<T>, Progress>(handlers: Handlers<T, Progress>, { transfer, describe = messageOf }: AnswerOptions<T>): void {
  const send = (message: FromWorker<T, Progress>, buffers: Transferable[] = []): void => {
    self.postMessage(message, { transfer: buffers });
  };
  const underWay = new Map<number, AbortController>();

  const answer = async <N extends keyof T>(id: number, call: N, request: T[N]['request']): Promise<void> => {
    const controller = new AbortController();
    underWay.set(id, controller);
    try {
      const tell = (progress: Progress): void => { send({ kind: 'progress', id, progress }); };
      const value = await handlers[call](request, { tell, signal: controller.signal });
      send({ kind: 'reply', id, value }, transfer(value));
    } catch (error) {
      const name = error instanceof Error ? error.name : 'Error';
      const frames = error instanceof FramesError ? error.frames : null;
      send({ kind: 'failure', id, failure: { name, message: describe(error), frames } });
    } finally {
      underWay.delete(id);
    }
  };

  self.onmessage = ({ data }: MessageEvent<ToWorker<T>>): void => {
    if (data.kind === 'cancel') underWay.get(data.id)?.abort();
    else void answer(data.id, data.call, data.request);
  };
}
