import { describe, expect, it } from 'vitest';
import { answerHeaders, cacheName, failureSentence, isOurs, pathOf } from './precache';
import type { Precache } from './precache';
import { read } from '../texts/language';

const SCOPE = 'https://example.org/brain/';
const file = { path: 'models/t2/weights.safetensors', sha256: 'ab', bytes: 2_000_000, type: 'application/octet-stream' };
const precache: Precache = { version: '1', headers: { 'Cross-Origin-Embedder-Policy': 'require-corp' }, files: [file], notKept: [] };

describe('the files of a version', () => {
  it('are found by path below the scope, whatever the query and fragment', () => {
    expect(pathOf('https://example.org/brain/', SCOPE)).toBe('index.html');
    expect(pathOf('https://example.org/brain/?backend=cpu#top', SCOPE)).toBe('index.html');
    expect(pathOf('https://example.org/brain/assets/a%20b.js?v=1', SCOPE)).toBe('assets/a b.js');
  });

  it('are never looked for outside the scope', () => {
    expect(pathOf('https://example.org/other/', SCOPE)).toBeNull();
    expect(pathOf('https://example.com/brain/', SCOPE)).toBeNull();
  });

  it('are answered with the isolation headers and their own type', () => {
    expect(answerHeaders(file, precache)).toMatchObject({
      'Cross-Origin-Embedder-Policy': 'require-corp',
      'Content-Type': 'application/octet-stream',
      'Content-Length': '2000000',
    });
  });
});

describe('the caches of a site', () => {
  it('are told apart by version and by copy of the site', () => {
    expect(cacheName(SCOPE, '1')).not.toBe(cacheName(SCOPE, '2'));
    expect(isOurs(cacheName(SCOPE, '1'), SCOPE)).toBe(true);
    expect(isOurs(cacheName('https://example.org/', '1'), SCOPE)).toBe(false);
    expect(isOurs(cacheName(SCOPE, '1'), 'https://example.org/')).toBe(false);
    expect(isOurs('another application', SCOPE)).toBe(false);
  });
});

describe('a version that could not be kept', () => {
  it('says how much room is needed when the disk is full', () => {
    expect(read(failureSentence(new DOMException('full', 'QuotaExceededError'), precache))).toContain('no room for the 2 MB');
  });

  it('gives the reason otherwise', () => {
    expect(read(failureSentence(new Error('index.html: the server answered 500'), precache))).toContain('answered 500');
  });
});
