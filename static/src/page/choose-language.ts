// The language of the page: the one that the address asks for (?lang=de), the one chosen by hand before, or the browser's.
// A kiosk may fix it.
import type { Session } from './session';
import { firstKnown, LANGUAGES, t, textOf, useLanguage } from './texts/language';
import type { Language } from './texts/language';
import { say } from './texts/message';
import { byId, writeTexts } from './ui/dom';

/** `search`: the query of the address; `chosen`: by hand; `tags`: of the browser, in the order of the visitor's choice. */
export function firstLanguage(search: string, chosen: string | undefined, tags: readonly string[]): Language {
  return firstKnown([new URLSearchParams(search).get('lang'), chosen, ...tags]);
}

/** Shows the whole page in a language; the scans and results stay. The page stays as it is where the texts cannot be loaded. */
export async function setLanguage(session: Session, wanted: Language): Promise<void> {
  const picker = byId('language', HTMLSelectElement);
  picker.value = wanted;
  try {
    if (!(await useLanguage(wanted))) return;
  } catch (error) {
    picker.value = session.state.language;
    session.say({ remark: say('page.languageFailed', { language: LANGUAGES[wanted], reason: textOf(error) }) });
    return;
  }
  if (wanted === session.state.language) return; // index.html is in English; the page may show more than it by now
  document.documentElement.lang = wanted;
  document.title = t('page.title');
  writeTexts();
  session.change({ language: wanted });
}
