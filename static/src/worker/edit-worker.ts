// The worker of the editing tools.
import { answerCalls } from './calls';
import { changedVoxels } from './edit-tools';
import type { EditCalls } from './edit-tools';

answerCalls<EditCalls, never>(
  { use: (request) => Promise.resolve(changedVoxels(request)) },
  { transfer: ({ added, removed }) => [added, removed].flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : [])) },
);
