// The list of models.
import type { Session } from '../session';
import type { Catalogue } from '../ui/catalogue';
import { withCatalogue } from '../ui/models';

/** Takes the server's list of models and, on a kiosk, its settings. */
export function useCatalogue(session: Session, catalogue: Catalogue): void {
  session.change({ version: catalogue.version, kiosk: catalogue.kiosk, ...withCatalogue(session.state, catalogue) });
}

/** Says in the list of models why it is empty. */
export function missCatalogue(session: Session, error: unknown): void {
  session.change({ models: { ...session.state.models, placeholder: 'No list of models' } });
  session.fail(error);
}

export function pickModel(session: Session, key: string): void {
  session.change({ pickedKey: key });
}
