// Finds texts for readers among the string literals of a source file, for texts.test.ts.
import ts from 'typescript';

/** Two words, or one that begins with a capital letter: a text. Keys, selectors, class names and file names are neither. */
const TEXT = /[A-Za-z’]{2,}[,;:.]? +[A-Za-z’]{2,}|^[^A-Za-z]*[A-Z][a-z]{2,}(?![A-Za-z0-9])/;

/** Arguments of these calls are no texts, and neither are what `===` compares and the strings of types. */
const CALLS = /^(?:say|t|byId|byTestId|query|querySelector|querySelectorAll|closest|addEventListener|worded|warn|matchMedia|getExtension|createElement|RegExp|Error|postMessage|find)$/;

/** Literals that look like texts and are none: keys of the keyboard, errors, headers, names of formats, and of tools in files. */
const NO_TEXTS = new Set([
  'ArrowDown', 'ArrowUp', 'Enter', 'Escape', 'Esc', 'NotFoundError', 'AbortError', 'QuotaExceededError', 'Content-Type', 'Content-Length', 'Content-Encoding', 'X-Content-SHA256',
  'JPEG XL', 'High-Throughput JPEG 2000', 'delete piece', 'keep piece', 'fill between slices',
]);

/** The literals of a TypeScript source that read like texts; of a template without its values. */
export function englishLiterals(source: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node)) return;
    const text = textOf(node);
    if (text !== null && TEXT.test(text) && !NO_TEXTS.has(text.trim()) && !isNoText(node)) found.push(text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('source.ts', source, ts.ScriptTarget.Latest, true));
  return found;
}

function textOf(node: ts.Node): string | null {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return null;
  return [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join('');
}

function isNoText(node: ts.Node): boolean {
  const { parent } = node;
  if (ts.isBinaryExpression(parent) && /^[!=]==$/.test(parent.operatorToken.getText())) return true;
  if (ts.isPropertyAssignment(parent) && parent.name === node) return true;
  if (ts.isElementAccessExpression(parent) || ts.isCaseClause(parent)) return true;
  return (ts.isCallExpression(parent) || ts.isNewExpression(parent)) && CALLS.test(parent.expression.getText().split('.').at(-1)!);
}
