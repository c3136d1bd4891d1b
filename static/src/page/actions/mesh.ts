// Saving a mesh of the shown result.
import type { Session } from '../session';
import { isBusy, restingKind } from '../state';
import { outcomeRequest, shownResult, shownStudy } from '../studies';
import { meshName } from '../ui/format';
import { readMeshChoice } from '../ui/mesh';
import { say } from '../texts/message';
import { refresh, restingText } from './look';
import { write } from './save';

export async function saveMesh(session: Session): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study?.facts == null || result === null) return;
  const { label, ...choice } = readMeshChoice(result);
  const request = { ...outcomeRequest(study, result), ...choice };
  await write(session, meshName(study.facts.summary, result, label, choice.quality, choice.format), say('save.isMesh'), async () => {
    const isIdle = !isBusy(session.state);
    if (isIdle) session.enter('loading', say('mesh.making'));
    try {
      return (await session.idleClient.call('mesh', request)).bytes;
    } finally {
      if (isIdle) session.enter(restingKind(session.state), restingText(session.state));
    }
  });
  await refresh(session); // something else may have been picked meanwhile
}
