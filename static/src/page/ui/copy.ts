// Copies a text of the page.
import { say } from '../texts/message';
import type { Message } from '../texts/message';

/** Copies the text, or selects it where the page may not write to the clipboard (plain http). Returns a sentence for the visitor. */
export async function copyText(text: HTMLElement): Promise<Message> {
  try {
    await navigator.clipboard.writeText(text.textContent);
    return say('foot.copied');
  } catch {
    getSelection()?.selectAllChildren(text);
    return say('foot.selected');
  }
}
