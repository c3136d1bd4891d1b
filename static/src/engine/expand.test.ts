import { expect, it } from 'vitest';
import { expand } from './expand';

it('repeats, nests and computes', () => {
  const source = ['//#for r in ROWS + 1', '//#for o in 2', 'a_$(r)_$(o) = $(r * 4 + o % 2);', '//#end', '//#end'].join('\n');
  expect(expand(source, { ROWS: 1 })).toBe('a_0_0 = 0;\na_0_1 = 1;\na_1_0 = 4;\na_1_1 = 5;');
  expect(expand('$(7 / 4) $(7 % 4) $(2 * 3 + 1) $((3 + 4) / 2 + (1 + 1) * 3)', {})).toBe('1 3 7 9');
});

it('keeps the branch that holds and never looks into the other', () => {
  const source = ['//#if F16', '$(UNKNOWN)', '//#else', 'f32', '//#end', '//#if ACT == relu', 'relu', '//#end'].join('\n');
  expect(expand(source, { F16: 0, ACT: 'relu' })).toBe('f32\nrelu');
});

it.each([
  ['//#for r in 2', /line 1: .*no \/\/#end/],
  ['//#end', /line 1: .*closes nothing/],
  ['//#repeat 3\n//#end', /line 1: cannot read/],
  ['$(ROWS)', /line 1: ROWS/],
])('refuses %j and names the line', (source, message) => {
  expect(() => expand(source, {})).toThrow(message);
});
