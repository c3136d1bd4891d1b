// Saving the labels and the table of volumes.
import { messageOf } from '../../engine/message';
import type { Session } from '../session';
import { isBusy, notesOf, restingKind } from '../state';
import { savedName, tableName } from '../ui/format';
import { saveAsDownload, saveInFolder } from '../ui/saving';
import { volumesCsv } from '../ui/table';

export async function saveLabels(session: Session, space: 'native' | 'conformed'): Promise<void> {
  const { study } = session.state;
  if (study?.result == null) return;
  const grid = space === 'native' ? 'on the scan’s own grid' : 'on the 1 mm grid the model saw';
  await write(session, savedName(study.scan, study.result, space), grid, async () => (await session.services.client.call('save', { space })).bytes);
}

export async function saveTable(session: Session): Promise<void> {
  const { study } = session.state;
  if (study?.result?.outcome == null) return;
  const { scan, result } = study;
  const csv = volumesCsv(scan.name, result.spec.id, study.result.outcome, result.spec.labels, savedName(scan, result, 'native'), notesOf(study));
  await write(session, tableName(scan, result), 'volumes on the scan’s own grid', () => Promise.resolve(new TextEncoder().encode(csv)));
}

/** A kiosk saves where the visitor chooses, and leaves nothing among the downloads. */
async function write(session: Session, name: string, what: string, content: () => Promise<Uint8Array>): Promise<void> {
  const saver = session.state.kiosk === null ? saveAsDownload : saveInFolder;
  try {
    // The place first: browsers let a page ask for it only right after the click.
    const save = await saver(name);
    if (save === null) return;
    const saved = await save(await content());
    if (!isBusy(session.state)) session.enter(restingKind(session.state), `Saved ${saved.place}: ${saved.name} (${what}).`);
  } catch (error) {
    // A run that was started meanwhile goes on.
    if (isBusy(session.state)) session.say({ remark: `${name} was not saved: ${messageOf(error)}` });
    else session.fail(error);
  }
}
