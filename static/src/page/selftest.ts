// /selftest: runs tiny networks with PyTorch's activations, and a timing, on every backend of this device and
// writes a report to copy. For tests, `window.meshnetEngines` runs any model on any backend:
//   list(): Promise<BackendId[]>          probe(id): Promise<Probe>
//   sizes: number[]                       edges in voxels of the cubes that are timed; a test may time fewer
//   run(id, trial): Promise<TrialReport>  with `trial` and the report as in worker/trial.ts; the input's buffer is
//                                         transferred (a copy of a whole head would count in the measured memory)
import { messageOf } from '../engine/message';
import { WorkerClient } from '../worker/client';
import type { Trial, TrialReport } from '../worker/trial';
import type { BackendId } from '../engine/types';
import golden from '../worker/selftest-golden.json';
import type { SelftestCalls } from '../worker/selftest-worker';
import { inEnglish } from './texts/language';
import { copyText } from './ui/copy';

type Golden = (typeof golden)[number];

/** Worst difference allowed, as a share of the layer's largest activation: f32 sums of 27 · C terms in any order. */
const TOLERANCE = 1e-4;

const client = new WorkerClient<SelftestCalls>(
  () => new Worker(new URL('../worker/selftest-worker.ts', import.meta.url), { type: 'module' }),
  ({ reason }) => (reason !== '' ? `the worker stopped: ${reason}` : 'its worker could not be loaded; check the connection and reload the page'),
);

const engines = {
  /** 256 is a whole brain. */
  sizes: [32, 64, 128, 256] as readonly number[],
  list: () => client.call('list', null),
  probe: (id: BackendId) => client.call('probe', id),
  run: (id: BackendId, trial: Trial) => client.call('run', { backend: id, trial }, { transfer: [trial.input.buffer] }),
};
Object.assign(window, { meshnetEngines: engines });

const button = document.querySelector<HTMLButtonElement>('[data-testid=run]')!;
const copy = document.querySelector<HTMLButtonElement>('[data-testid=copy]')!;
const status = document.querySelector<HTMLElement>('[data-testid=status]')!;
const report = document.querySelector<HTMLElement>('[data-testid=report]')!;
button.addEventListener('click', () => void runAll());
copy.addEventListener('click', () => void copyText(report).then((said) => { setStatus('done', inEnglish(said)); }));

async function runAll(): Promise<void> {
  button.disabled = true;
  report.textContent = '';
  try {
    await testAll();
  } catch (error) {
    setStatus('error', `The test could not be run: ${messageOf(error)}`);
  }
  button.disabled = false;
  copy.disabled = false;
}

async function testAll(): Promise<void> {
  let failures = 0;
  const line = (text: string): void => { report.textContent += `${text}\n`; };
  line('MeshNet self-test');
  line(`date: ${new Date().toISOString().slice(0, 10)}, build: ${new URL(import.meta.url).pathname.split('/').at(-1)!}`);
  line(`browser: ${navigator.userAgent}`);
  line(`processors: ${navigator.hardwareConcurrency}, cross-origin isolated: ${self.crossOriginIsolated ? 'yes' : 'no'}`);
  for (const id of await engines.list()) {
    setStatus('running', `Testing ${id}…`);
    line('');
    try {
      failures += await testBackend(id, line);
    } catch (error) {
      failures++;
      line(`  FAILED: ${messageOf(error)}`);
    }
  }
  line('');
  line(failures === 0 ? 'Everything that can run here is right.' : `${failures} check${failures === 1 ? '' : 's'} FAILED.`);
  setStatus(failures === 0 ? 'done' : 'error', failures === 0 ? 'Done.' : 'Done, with failures.');
}

/** Writes one backend's lines; the number of failed checks. */
async function testBackend(id: BackendId, line: (text: string) => void): Promise<number> {
  const probe = await engines.probe(id);
  if (!probe.available) {
    line(`${id}: not available. ${probe.reason}`);
    return 0;
  }
  line(`${id}: ${probe.device}${probe.software ? ' (software)' : ''}`);
  for (const [name, value] of Object.entries(probe.details)) if (value !== '') line(`  ${name}: ${value}`);
  let failures = 0;
  for (const item of golden) {
    const trial = () => ({
      modelJson: item.modelJson,
      weights: decode(item.weights),
      input: floats(item.input),
      dims: item.dims as [number, number, number],
    });
    const layers = await engines.run(id, { ...trial(), inspect: true });
    const fused = await engines.run(id, { ...trial(), probabilities: true });
    const problem = layers.error ?? fused.error ?? differences(item, layers) ?? wrongLabels(item, fused) ?? wrongProbabilities(item, fused);
    if (problem !== null) failures++;
    line(`  ${item.name}: ${problem === null ? 'right' : `FAILED: ${problem}`}`);
  }
  if (id !== 'cpu') {
    const problem = await client.call('compare', id);
    if (problem !== null) failures++;
    line(`  MeshNet-5 on the middle of 256³: ${problem === null ? 'as on the CPU' : `FAILED: ${problem}`}`);
  }
  for (const timing of await client.call('time', { backend: id, sizes: engines.sizes })) {
    const { size, milliseconds, gigaflopsPerSecond } = timing;
    line(`  MeshNet-5 on ${size}³: ${milliseconds.toFixed(0)} ms, ${gigaflopsPerSecond.toPrecision(3)} GFLOP/s`);
  }
  return failures;
}

function differences(item: Golden, got: TrialReport): string | null {
  for (const [layer, text] of item.outputs.entries()) {
    const wanted = floats(text);
    const ours = got.outputs[layer];
    if (ours?.length !== wanted.length) return `layer ${layer} is missing`;
    const scale = wanted.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    const worst = wanted.reduce((most, v, i) => Math.max(most, Math.abs(v - ours[i]!)), 0);
    if (!(worst <= TOLERANCE * scale)) return `layer ${layer} differs by ${worst} where values reach ${scale}`;
  }
  return null;
}

function wrongLabels(item: Golden, got: TrialReport): string | null {
  const wanted = decode(item.labels);
  const wrong = wanted.filter((label, i) => label !== got.labels?.[i]).length;
  return wrong === 0 ? null : `${wrong} of ${wanted.length} labels differ`;
}

/** Of every class but class 0: within one step of 255 of the softmax of PyTorch's logits. */
function wrongProbabilities(item: Golden, { probabilities }: TrialReport): string | null {
  const logits = floats(item.outputs.at(-1)!);
  const voxels = decode(item.labels).length;
  const classes = logits.length / voxels;
  if (probabilities?.length !== (classes - 1) * voxels) return 'probabilities are missing';
  let worst = 0;
  for (let voxel = 0; voxel < voxels; voxel++) {
    const powers = Array.from({ length: classes }, (_, k) => Math.exp(logits[k * voxels + voxel]!));
    const sum = powers.reduce((a, b) => a + b, 0);
    for (let k = 1; k < classes; k++) worst = Math.max(worst, Math.abs(probabilities[(k - 1) * voxels + voxel]! - (255 * powers[k]!) / sum));
  }
  return worst <= 1 ? null : `a probability differs by ${worst.toFixed(1)} of 255`;
}

function decode(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function floats(text: string): Float32Array {
  return new Float32Array(decode(text).buffer);
}

function setStatus(state: string, text: string): void {
  status.dataset.state = state;
  status.textContent = text;
}
