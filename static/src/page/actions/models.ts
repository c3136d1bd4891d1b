// The list of models.
import type { Session } from '../session';
import { isActive } from '../queue';
import { isBusy, pickedModel } from '../state';
import type { Catalogue } from '../ui/catalogue';
import { say } from '../texts/message';
import { withCatalogue } from '../ui/models';

/** Takes the server's list of models and, on a kiosk, its settings. `lastKey`: the model of the visit before. */
export function useCatalogue(session: Session, catalogue: Catalogue, lastKey: string | null): void {
  session.change({ version: catalogue.version, scanOrigins: catalogue.scan_origins, kiosk: catalogue.kiosk, ...withCatalogue(session.state, catalogue, lastKey) });
  void findPace(session);
}

/** Says in the list of models why it is empty. */
export function missCatalogue(session: Session, error: unknown): void {
  session.change({ models: { ...session.state.models, placeholder: say('model.noList') } });
  session.fail(error);
}

export function pickModel(session: Session, key: string): void {
  session.change({ pickedKey: key });
  void fetchWeights(session);
  void findPace(session);
}

/**
 * Fetches the picked model into the browser's cache, so that a run need not wait for it. Failures are left to the run, which
 * fetches the files again and says what is wrong.
 */
export async function fetchWeights(session: Session): Promise<void> {
  const source = pickedModel(session.state)?.source;
  if (source?.kind !== 'url') return;
  const fetched = [source.modelUrl, source.weightsUrl].map(async (url) => (await fetch(url, { priority: 'low' })).arrayBuffer());
  await Promise.allSettled(fetched);
}

/**
 * Finds out how long the picked model would take where the CPU will run it. Opening a graphics device takes seconds, so it
 * waits until the run. A forced backend is not tried, because tests and reports force one to get exactly one run. Nothing is
 * shown where the trial fails; the run itself will say why.
 */
export async function findPace(session: Session): Promise<void> {
  const { client, options } = session.services;
  const model = pickedModel(session.state);
  if (model === null || session.state.choice?.backend !== 'cpu' || options.forced !== null || isBusy(session.state) || isActive(session.state.queue) || model.key in session.state.pace) return;
  try {
    const { seconds } = await client.call('pace', { source: model.source });
    if (!(model.key in session.state.pace)) session.change({ pace: { ...session.state.pace, [model.key]: seconds } });
  } catch {
    // no estimate
  }
}
