// Text expansion of kernel files before they are compiled: loops over registers, which WGSL's override constants cannot express.
//
// Kernels are whole .wgsl and .glsl files; lines that start with //# are directives, every other line is kept:
//   //#if NAME           … //#else … //#end    keeps the lines where NAME is defined and not 0
//   //#if NAME == VALUE  … //#end              … where NAME has that value
//   //#for v in COUNT    … //#end              repeats the lines with v = 0 … COUNT − 1
//   $(expression)                              integer + * / % of numbers, names and (sums)
// The expanded kernel uses plain scalars (acc_0_3), which every driver keeps in registers.

export type Defines = Readonly<Record<string, number | string>>;

type Node =
  | { readonly kind: 'line'; readonly text: string; readonly number: number }
  | { readonly kind: 'if'; readonly name: string; readonly value: string | undefined; readonly yes: Node[]; readonly no: Node[] }
  | { readonly kind: 'for'; readonly name: string; readonly count: string; readonly number: number; readonly body: Node[] };

/** The source with every directive carried out. Throws an Error naming the line of a malformed one. */
export function expand(source: string, defines: Defines): string {
  const lines = source.split('\n');
  const { nodes, next } = parse(lines, 0);
  if (next < lines.length) throw new Error(`kernel line ${next + 1}: ${lines[next]!.trim()} closes nothing`);
  return render(nodes, defines).join('\n');
}

/** Nodes from line `start` up to the //#else or //#end that closes them, or the end of the file. */
function parse(lines: readonly string[], start: number): { nodes: Node[]; next: number } {
  const nodes: Node[] = [];
  let i = start;
  while (i < lines.length) {
    const directive = /^\s*\/\/#(.*?)\s*$/.exec(lines[i]!)?.[1];
    const opened = i;
    if (directive === undefined) {
      nodes.push({ kind: 'line', text: lines[i]!, number: i + 1 });
    } else if (directive === 'else' || directive === 'end') {
      return { nodes, next: i };
    } else {
      const branch = /^if (\w+)(?: == (\w+))?$/.exec(directive);
      const loop = /^for (\w+) in (.+)$/.exec(directive);
      const first = parse(lines, i + 1);
      i = first.next;
      if (branch !== null) {
        const second = isDirective(lines[i], 'else') ? parse(lines, i + 1) : { nodes: [], next: i };
        i = second.next;
        nodes.push({ kind: 'if', name: branch[1]!, value: branch[2], yes: first.nodes, no: second.nodes });
      } else if (loop !== null) {
        nodes.push({ kind: 'for', name: loop[1]!, count: loop[2]!, number: opened + 1, body: first.nodes });
      } else {
        throw new Error(`kernel line ${opened + 1}: cannot read the directive //#${directive}`);
      }
      if (!isDirective(lines[i], 'end')) throw new Error(`kernel line ${opened + 1}: //#${directive} has no //#end`);
    }
    i++;
  }
  return { nodes, next: i };
}

function isDirective(line: string | undefined, name: string): boolean {
  return line?.trim() === `//#${name}`;
}

function render(nodes: readonly Node[], defines: Defines): string[] {
  return nodes.flatMap((node) => {
    switch (node.kind) {
      case 'line':
        return [node.text.replace(/\$\(((?:[^()]|\([^()]*\))*)\)/g, (_, text: string) => String(evaluate(text, defines, node.number)))];
      case 'if': {
        const defined = defines[node.name];
        const holds = node.value === undefined ? defined !== undefined && defined !== 0 : defined === node.value;
        return render(holds ? node.yes : node.no, defines);
      }
      case 'for': {
        const count = evaluate(node.count, defines, node.number);
        return Array.from({ length: count }, (_, v) => render(node.body, { ...defines, [node.name]: v })).flat();
      }
    }
  });
}

/** Sums of products; * / % bind alike, left to right, / rounds down; parentheses one deep. */
function evaluate(text: string, defines: Defines, line: number): number {
  if (text.includes('(')) return evaluate(text.replace(/\(([^()]*)\)/g, (_, inner: string) => String(evaluate(inner, defines, line))), defines, line);
  const value = (atom: string): number => {
    const number = Number(/^\d+$/.test(atom) ? atom : defines[atom]);
    if (!Number.isInteger(number)) throw new Error(`kernel line ${line}: ${atom || '(nothing)'} in $(${text}) is no known integer`);
    return number;
  };
  const term = (factors: string): number => {
    const [first, ...rest] = factors.split(/([*/%])/).map((part) => part.trim());
    let result = value(first!);
    for (let i = 0; i < rest.length; i += 2) {
      const factor = value(rest[i + 1] ?? '');
      result = rest[i] === '*' ? result * factor : rest[i] === '/' ? Math.floor(result / factor) : result % factor;
    }
    return result;
  };
  return text.split('+').reduce((sum, part) => sum + term(part), 0);
}
