import { describe, expect, it } from 'vitest';
import { idleState } from './idle';

describe('a kiosk page', () => {
  it('is left alone while it is used', () => {
    expect(idleState(0, 120, true)).toEqual({ kind: 'in-use' });
    expect(idleState(104_000, 120, true)).toEqual({ kind: 'in-use' });
  });

  it('warns in its last fifteen seconds, counting down', () => {
    expect(idleState(105_000, 120, true)).toEqual({ kind: 'warning', secondsLeft: 15 });
    expect(idleState(119_500, 120, true)).toEqual({ kind: 'warning', secondsLeft: 1 });
  });

  it('is wiped when the time is over', () => {
    expect(idleState(120_000, 120, true)).toEqual({ kind: 'wipe' });
  });

  it('is not reloaded for ever while nobody is there', () => {
    expect(idleState(9e9, 120, false)).toEqual({ kind: 'in-use' });
  });
});
