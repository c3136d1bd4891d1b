// Copying a text of the page.

/** Copies it, or leaves it selected where the page may not write to the clipboard (plain http). Returns what to tell the visitor. */
export async function copyText(text: HTMLElement): Promise<string> {
  try {
    await navigator.clipboard.writeText(text.textContent);
    return 'Copied.';
  } catch {
    getSelection()?.selectAllChildren(text);
    return 'Selected: copy it with Ctrl+C, ⌘C or a long press.';
  }
}
