// Opening scans by a link, or by a message of the page around this one.
import { fetchScan } from '../doors/fetch-scan';
import type { Link } from '../doors/link';
import type { Session } from '../session';
import { restingKind } from '../state';
import { say } from '../texts/message';
import { formatBytes } from '../ui/format';
import { pickModel } from './models';
import { openFiles } from './open';
import { segmentAll } from './queue';
import { segment } from './segment';

/** Picks the link's model, opens its scans and runs the model on them, as far as the link says so. */
export async function followLink(session: Session, { scans, model, run }: Link): Promise<void> {
  if (scans.length > 0 && session.state.kiosk?.links === 'off') {
    session.refuse(say('link.off'));
    return;
  }
  pickLinked(session, model);
  if (session.state.activity.kind === 'error' || scans.length === 0) return;
  await openLinked(session, scans);
  if (run) await segmentLinked(session);
}

/** Picks a model by its id; null: leaves the one that is picked. Fails where the list has no such model. */
export function pickLinked(session: Session, id: string | null): void {
  if (id === null) return;
  const { usable } = session.state.models;
  if (usable.some(({ key }) => key === id)) pickModel(session, id);
  else session.refuse(say('link.model', { id, ids: usable.map(({ key }) => key).join(', ') }));
}

/** Opens files, and those at addresses. */
export async function openLinked(session: Session, sources: readonly (URL | File)[]): Promise<void> {
  session.say({ remark: null });
  session.change({ question: null });
  const files: File[] = [];
  try {
    for (const source of sources) files.push(source instanceof File ? source : await fetched(session, source));
  } catch (error) {
    session.fail(error);
    return;
  }
  session.enter(restingKind(session.state), say('open.opening'));
  await openFiles(session, files, null);
}

async function fetched(session: Session, address: URL): Promise<File> {
  const name = address.pathname.slice(address.pathname.lastIndexOf('/') + 1);
  session.enter('loading', say('link.fetching', { name }));
  let shownAt = performance.now();
  return await fetchScan(address, {
    origins: session.state.scanOrigins,
    onProgress: (bytes, total) => {
      if (performance.now() - shownAt < 250) return;
      shownAt = performance.now();
      const done = (): string => formatBytes(bytes);
      session.enter('loading', total === null ? say('link.fetchingPart', { name, done }) : say('link.fetchingOf', { name, done, total: () => formatBytes(total) }));
    },
  });
}

/** Runs the picked model on the scan that was opened, or on all of several. */
export async function segmentLinked(session: Session): Promise<void> {
  const { activity, question, studies } = session.state;
  if (activity.kind === 'error' || question !== null) return;
  if (studies.filter(({ results }) => results.length === 0).length > 1) await segmentAll(session);
  else await segment(session);
}
