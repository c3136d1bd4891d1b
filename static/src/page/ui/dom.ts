// Typed access to the elements of index.html.

/** The element with this `data-testid`; a missing one is a mistake in index.html. */
export function byTestId<T extends HTMLElement>(id: string, type: new () => T): T {
  return query(`[data-testid="${id}"]`, type);
}

export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  return query(`#${id}`, type);
}

function query<T extends HTMLElement>(selector: string, type: new () => T): T {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} ${selector}`);
  return found;
}

/** A new element with text; text is never parsed as HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(tag: K, text = '', className = ''): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}
