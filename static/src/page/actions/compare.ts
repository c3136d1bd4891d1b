// Comparing the shown result with a mask or with another result of the scan.
import type { Calls } from '../../worker/protocol';
import { namesLabels } from '../../volume/label-names';
import type { Session } from '../session';
import { isBusy, NOTHING_DRAWN, restingKind } from '../state';
import type { PageState } from '../state';
import { outcomeRequest, resultName, shownResult, shownStudy } from '../studies';
import { comparisonLabels } from '../ui/comparison';
import { stemOf } from '../ui/format';
import { say } from '../texts/message';
import type { Text } from '../texts/message';
import { refresh, restingText } from './look';

type Other = Calls['compare']['request']['other'];

/** Whether these dropped files are a mask to compare the shown result with. */
export function isReference(state: PageState, files: readonly File[]): boolean {
  return files.length === 1 && state.kiosk?.compare !== 'off' && shownResult(shownStudy(state)) !== null && namesLabels(stemOf(files[0]!.name));
}

export async function compareWithFile(session: Session, file: File): Promise<void> {
  session.keepPrivate([file]);
  await compare(session, file.name, { kind: 'file', file, namedMask: namesLabels(stemOf(file.name)) });
}

export async function compareWithResult(session: Session, resultId: number): Promise<void> {
  const study = shownStudy(session.state);
  const result = study?.results.find(({ id }) => id === resultId);
  if (study == null || result === undefined) return;
  await compare(session, resultName(study, result), { kind: 'result', result: outcomeRequest(study, result) });
}

/** Shows the labels again. */
export async function endComparison(session: Session): Promise<void> {
  session.change({ comparison: null, drawn: { ...NOTHING_DRAWN, studyId: session.state.drawn.studyId } });
  await refresh(session);
}

async function compare(session: Session, name: Text, other: Other): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study?.facts == null || result === null || isBusy(session.state)) return;
  session.enter('loading', say('compare.comparing', { name }));
  try {
    const { comparison, overlay } = await session.idleClient.call('compare', { result: outcomeRequest(study, result), other });
    session.change({ comparison: { name, comparison }, editing: null });
    const labels = comparisonLabels();
    // Index 0, in neither mask, stays transparent: drawn, it would darken the scan.
    await session.draw((viewer) => viewer.showLabels(overlay, labels, labels.map(({ index }) => index).filter((index) => index > 0)));
    session.change({ drawn: { ...session.state.drawn, probability: false } });
    session.enter(restingKind(session.state), restingText(session.state));
  } catch (error) {
    session.fail(error);
  }
}
