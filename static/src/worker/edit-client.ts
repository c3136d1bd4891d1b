// The page's side of edit-worker.ts.
import { WorkerClient } from './client';
import type { EditCalls } from './edit-tools';

/** The worker starts with the first call. */
export class EditClient {
  private readonly client: WorkerClient<EditCalls>;

  constructor(spawn: () => Worker) {
    this.client = new WorkerClient(spawn, ({ reason }) => `the computation stopped unexpectedly: ${reason || 'the browser ended it'}`);
  }

  /** Rejects with CallError. */
  use(request: EditCalls['use']['request']): Promise<EditCalls['use']['reply']> {
    return this.client.call('use', request);
  }

  /** Ends the worker and its memory; the next call starts another. */
  end(): void {
    this.client.end({ name: 'AbortError', message: 'Cancelled.', frames: null });
  }
}
