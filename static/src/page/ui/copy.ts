// Copies a text of the page.

/** Copies the text, or selects it where the page may not write to the clipboard (plain http). Returns a sentence for the visitor. */
export async function copyText(text: HTMLElement): Promise<string> {
  try {
    await navigator.clipboard.writeText(text.textContent);
    return 'Copied.';
  } catch {
    getSelection()?.selectAllChildren(text);
    return 'Selected: copy it with Ctrl+C, ⌘C or a long press.';
  }
}
