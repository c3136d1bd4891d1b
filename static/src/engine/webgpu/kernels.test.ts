import { expect, it } from 'vitest';
import { expand } from '../expand';

const kernels = import.meta.glob<string>('./*.wgsl', { query: '?raw', import: 'default', eager: true });

it('no branch depends on uniforms alone: lavapipe would compile the kernel again for every dispatch', () => {
  expect(Object.keys(kernels).length).toBeGreaterThan(5);
  const offending = Object.entries(kernels).flatMap(([file, source]) =>
    [...source.matchAll(/^\s*(?:\} else )?if \((.*)\) \{/gm)]
      .map((match) => match[1]!)
      .filter((condition) => condition.includes('u.') && !/(?<![.\w])[a-z_]\w*(?![\w.])/.test(condition.replace(/\$\([^)]*\)/g, '0').replace(/\b\d+u\b/g, '0')))
      .map((condition) => `${file}: if (${condition})`));
  expect(offending).toEqual([]);
});

it('a run without probabilities compiles a classifier without exponentials', () => {
  const compiled = (PROBABILITIES: number) => expand(kernels['./classifier.wgsl']!, { WIDTH: 2, CLASSES: 3, LOGITS: 0, PROBABILITIES }).replace(/\/\/.*/g, '');
  expect(compiled(1)).toContain('exp(');
  expect(compiled(0)).not.toMatch(/exp\(|sum|class_stride \*|\* class_stride/);
});
