// The worker of the npm package: answers one call, `segment`.
import { answerCalls } from '../worker/calls';
import { segmentHere } from './segment-here';
import type { PackageCalls } from './segment-here';
import type { SegmentProgress } from './types';

answerCalls<PackageCalls, SegmentProgress>(
  { segment: (request, { signal, tell }) => segmentHere(request, signal, tell) },
  // Big arrays are handed over, not copied. Without cleaning on a conformed scan both may be one array.
  { transfer: ({ labels, labelsConformed, probability }) => [...new Set([labels, labelsConformed, ...(probability === null ? [] : [probability])].map(({ data }) => data.buffer))] as ArrayBuffer[] },
);
