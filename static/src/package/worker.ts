// The worker of the npm package: answers one call, `segment`.
import { answerCalls } from '../worker/calls';
import type { PackageCalls } from './client';
import { segmentHere } from './segment-here';
import type { SegmentProgress } from './types';

answerCalls<PackageCalls, SegmentProgress>(
  { segment: (request, { signal, tell }) => segmentHere(request, signal, tell) },
  // Big arrays are handed over, not copied. Without cleaning on a conformed scan both may be one array.
  { transfer: ({ labels, labelsConformed }) => [...new Set([labels.data.buffer, labelsConformed.data.buffer])] as ArrayBuffer[] },
);
