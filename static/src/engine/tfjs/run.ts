// The layer graph run with TensorFlow.js, one layer at a time, disposing each.
//
// Activations are a list of channel groups, each a tensor [1][z][y][x][channel], because a tensor is one texture:
// 256³ × 16 channels only just fit the largest WebGL texture. TF.js' spatial axes are z, y, x here, so kernels become
// [kz][ky][kx][in][out].
import * as tf from '@tensorflow/tfjs-core';
import { macsPerVoxel } from '../graph';
import { messageOf } from '../message';
import { OutOfMemory, runGraph, type Engine, type Prepared, type Run } from '../run-loop';
import type { Backend, EngineInput, InstanceNorm, Layer } from '../types';

/** Activations of all channels, in groups of at most `groupSize`. */
type Groups = tf.Tensor5D[];

/** A run on TF.js. */
interface TfRun extends Run {
  /** Most channels of one tensor. */
  readonly groupSize: number;
  /** Call after each finished piece of a layer with its multiply-adds per voxel; throws when cancelled. */
  readonly done: (layer: number, macs: number) => void;
}

export async function openTfjs(device: 'webgl' | 'cpu'): Promise<Backend> {
  if (device === 'webgl') {
    await import('@tensorflow/tfjs-backend-webgl');
    // A software WebGL was ranked behind the others; TF.js would refuse it by default.
    tf.env().set('SOFTWARE_WEBGL_ENABLED', true);
    // Textures are freed at once: at 1 GB a layer there is no room for a pool.
    tf.env().set('WEBGL_DELETE_TEXTURE_THRESHOLD', 0);
    // float16 textures cannot hold the activations.
    if (!tf.env().getBool('WEBGL_RENDER_FLOAT32_CAPABLE')) throw new Error('TF.js: WebGL cannot render to 32-bit float textures here');
  } else {
    await import('@tensorflow/tfjs-backend-cpu');
  }
  if (!(await tf.setBackend(device))) throw new Error(`TF.js: its ${device} backend does not start here`);
  await tf.ready();
  const engine: Engine = {
    name: 'TF.js',
    memory: device === 'webgl' ? 'graphics memory' : 'memory',
    formats: ['float32'],
    prepare: (run) => rethrowing(() => Promise.resolve(prepare(run, device))),
  };
  return {
    id: 'tfjs',
    run: (graph, input, options) => runGraph(engine, graph, input, options),
    dispose: () => {
      // Removing a backend frees its memory and its factory; the next `open` needs the factory.
      const factory = tf.findBackendFactory(device);
      tf.removeBackend(device);
      tf.registerBackend(device, factory);
    },
  };
}

/** Rejects with an Error where one channel does not fit a texture or buffer. */
function prepare(run: Run, device: 'webgl' | 'cpu'): Prepared {
  const { graph, input, options, labels, outputs, meter, usage } = run;
  // `tidy` can't span the awaits of a layer; this scope frees the tensors that a failed layer leaves.
  tf.engine().startScope();
  run.atEnd(() => { tf.engine().endScope(); });
  const tfRun: TfRun = {
    ...run,
    groupSize: groupSize(labels.length, options.maxBufferBytes, device),
    done: (layer, macs) => {
      usage.holds(tf.memory().numBytes);
      run.signal?.throwIfAborted();
      meter.done({ layer, macs: macs * labels.length });
    },
  };
  const classifier = graph.layers.length - 1;
  let groups = inputGroups(input, tfRun);
  return {
    tasks: graph.layers.map((layer, i) => ({
      layer: i,
      carryOut: () => rethrowing(async () => {
        if (i === classifier) return classify(layer, groups, tfRun, i);
        const next = await runLayer(layer, groups, tfRun, i);
        tf.dispose(groups);
        groups = next;
        if (outputs !== null) outputs.add(i, await channelsFirst(groups, labels.length));
      }),
    })),
  };
}

/** Rejects with OutOfMemory where TF.js' error says so. */
async function rethrowing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (/out of memory|unable to create webgltexture/i.test(messageOf(error))) throw new OutOfMemory(messageOf(error), { cause: error });
    throw error;
  }
}

function groupSize(voxels: number, maxBufferBytes: number | undefined, device: 'webgl' | 'cpu'): number {
  const texels = device === 'webgl' ? tf.env().getNumber('WEBGL_MAX_TEXTURE_SIZE') ** 2 : Number.MAX_SAFE_INTEGER;
  const channels = Math.floor(Math.min(texels, (maxBufferBytes ?? Infinity) / 4) / voxels);
  if (channels < 1) throw new Error(`TF.js: one channel of ${voxels} voxels does not fit a texture or buffer here`);
  return channels;
}

/** [channel][z][y][x] → groups of interleaved channels. */
function inputGroups(input: EngineInput, run: TfRun): Groups {
  const [nx, ny, nz] = input.dims;
  const voxels = nx * ny * nz;
  const channels = input.data.length / voxels;
  return ranges(channels, run.groupSize).map(([begin, end]) => {
    const width = end - begin;
    const interleaved = width === 1 ? input.data.subarray(begin * voxels, end * voxels) : new Float32Array(width * voxels);
    for (let c = 0; width > 1 && c < width; c++) {
      for (let v = 0; v < voxels; v++) interleaved[v * width + c] = input.data[(begin + c) * voxels + v]!;
    }
    return tf.tensor5d(interleaved, [1, nz, ny, nx, width]);
  });
}

async function runLayer(layer: Layer, inputs: Groups, run: TfRun, index: number): Promise<Groups> {
  const outputs: Groups = [];
  for (const [begin, end] of ranges(layer.outChannels, run.groupSize)) {
    const output = tf.tidy(() => {
      const sum = convolve(layer, inputs, begin, end);
      const normed = layer.norm === null ? sum : instanceNorm(sum, layer.norm, begin, end);
      return activate(normed, layer.activation);
    });
    outputs.push(output);
    run.usage.largestBufferBytes = Math.max(run.usage.largestBufferBytes, output.size * 4);
    await finished(output);
    run.done(index, (macsPerVoxel(layer) * (end - begin)) / layer.outChannels);
  }
  return outputs;
}

/** Output channels begin…end: the sum over the input groups, plus bias. */
function convolve(layer: Layer, inputs: Groups, begin: number, end: number): tf.Tensor5D {
  let from = 0;
  let sum: tf.Tensor5D | null = null;
  for (const input of inputs) {
    const width = input.shape[4];
    const filter = kernel(layer, from, from + width, begin, end);
    const part: tf.Tensor5D = tf.conv3d(input, filter, 1, 'same', 'NDHWC', layer.dilation);
    sum = sum === null ? part : tf.add<tf.Tensor5D>(sum, part);
    from += width;
  }
  return tf.add(sum!, tf.tensor1d(layer.bias.slice(begin, end)));
}

/** Our [out][in][kx][ky][kz], restricted to some channels, as TF.js' [kz][ky][kx][in][out]. */
function kernel(layer: Layer, inBegin: number, inEnd: number, outBegin: number, outEnd: number): tf.Tensor5D {
  const k = layer.kernelSize;
  const [ins, outs] = [inEnd - inBegin, outEnd - outBegin];
  const values = new Float32Array(k ** 3 * ins * outs);
  let n = 0;
  for (let kz = 0; kz < k; kz++) {
    for (let ky = 0; ky < k; ky++) {
      for (let kx = 0; kx < k; kx++) {
        for (let i = inBegin; i < inEnd; i++) {
          for (let o = outBegin; o < outEnd; o++) {
            values[n++] = layer.weight[(((o * layer.inChannels + i) * k + kx) * k + ky) * k + kz]!;
          }
        }
      }
    }
  }
  return tf.tensor5d(values, [k, k, k, ins, outs]);
}

function instanceNorm(x: tf.Tensor5D, norm: InstanceNorm, begin: number, end: number): tf.Tensor5D {
  const axes = [1, 2, 3];
  const centred: tf.Tensor5D = tf.sub(x, tf.mean(x, axes, true));
  const variance = tf.mean(tf.square(centred), axes, true);
  let out: tf.Tensor5D = tf.mul(centred, tf.rsqrt(tf.add(variance, norm.eps)));
  if (norm.weight !== null) out = tf.mul(out, tf.tensor1d(norm.weight.slice(begin, end)));
  if (norm.bias !== null) out = tf.add(out, tf.tensor1d(norm.bias.slice(begin, end)));
  return out;
}

function activate(x: tf.Tensor5D, activation: Layer['activation']): tf.Tensor5D {
  switch (activation) {
    case 'none': return x;
    case 'relu': return tf.relu(x);
    case 'elu': return tf.elu(x);
    case 'gelu': return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
    case 'gelu_tanh': {
      const inner = tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715)), Math.sqrt(2 / Math.PI));
      return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
    }
  }
}

/** The best of the classes so far, per voxel: [1][z][y][x][1] each. */
interface Best {
  logit: tf.Tensor5D;
  index: tf.Tensor5D;
  /** For probabilities only: Σ exp(logit − largest). */
  sum: tf.Tensor5D | null;
}

/** Classifier and argmax, one class at a time, so that all logits never exist together. Probabilities need each class again. */
async function classify(layer: Layer, inputs: Groups, run: TfRun, index: number): Promise<void> {
  const { labels, probabilities, outputs } = run;
  const logits = outputs === null ? null : new Float32Array(layer.outChannels * labels.length);
  let best = null as Best | null;
  for (let c = 0; c < layer.outChannels; c++) {
    const logit: tf.Tensor5D = tf.tidy(() => convolve(layer, inputs, c, c + 1));
    logits?.set(await logit.data<'float32'>(), c * labels.length);
    const before = best;
    best = tidyBest(() => (before === null ? firstClass(logit, probabilities !== null) : better(before, logit, c)));
    await finished(best.index);
    tf.dispose([logit, ...tensorsOf(before)]);
    run.done(index, macsPerVoxel(layer) / layer.outChannels);
  }
  if (logits !== null) outputs?.add(index, logits);
  labels.set(await best!.index.data<'float32'>());
  if (probabilities === null) return;
  for (let c = 1; c < layer.outChannels; c++) {
    const p = tf.tidy(() => probabilityOf(convolve(layer, inputs, c, c + 1), best!, c, layer.outChannels));
    probabilities.set(await p.data<'float32'>(), (c - 1) * labels.length);
    p.dispose();
  }
}

/** `tf.tidy` for a result that may lack some tensors. */
function tidyBest(compute: () => Best): Best {
  let best!: Best;
  tf.tidy(() => tensorsOf((best = compute())));
  return best;
}

function tensorsOf(best: Best | null): tf.Tensor5D[] {
  return best === null ? [] : [best.logit, best.index, best.sum].filter((tensor) => tensor !== null);
}

function firstClass(logit: tf.Tensor5D, withSum: boolean): Best {
  return {
    logit: tf.clone(logit),
    index: tf.zerosLike(logit),
    sum: withSum ? tf.onesLike(logit) : null,
  };
}

/** Strictly greater, so the lowest index wins a tie. */
function better(best: Best, logit: tf.Tensor5D, c: number): Best {
  const wins: tf.Tensor5D = tf.greater(logit, best.logit);
  const largest: tf.Tensor5D = tf.maximum(logit, best.logit);
  return {
    logit: largest,
    index: pick(wins, tf.fill<tf.Rank.R5>(logit.shape, c), best.index),
    sum: best.sum && tf.add<tf.Tensor5D>(tf.mul(best.sum, tf.exp(tf.sub(best.logit, largest))), tf.exp(tf.sub(logit, largest))),
  };
}

/** a where the condition holds, else b; flat, because the WebGL `where` knows no rank 5. */
function pick(condition: tf.Tensor5D, a: tf.Tensor5D, b: tf.Tensor5D): tf.Tensor5D {
  return tf.reshape(tf.where(tf.reshape(condition, [-1]), tf.reshape(a, [-1]), tf.reshape(b, [-1])), a.shape);
}

/** The probability of class `c` in 8 bits, by the rule of `RunResult.probabilities`. */
function probabilityOf(logit: tf.Tensor5D, best: Best, c: number, classes: number): tf.Tensor5D {
  const p: tf.Tensor5D = tf.div(tf.exp(tf.sub(logit, best.logit)), best.sum!);
  const rounded: tf.Tensor5D = tf.floor(tf.add<tf.Tensor5D>(tf.mul(p, 255), 0.5));
  const winner = classes === 2 ? tf.maximum<tf.Tensor5D>(rounded, 128) : rounded;
  const isLabel: tf.Tensor5D = tf.equal(best.index, c);
  return pick(isLabel, winner, tf.minimum<tf.Tensor5D>(rounded, 127));
}

/** [channel][z][y][x] of groups of interleaved channels. */
async function channelsFirst(groups: Groups, voxels: number): Promise<Float32Array> {
  const channels = groups.reduce((sum, group) => sum + group.shape[4], 0);
  const out = new Float32Array(channels * voxels);
  let first = 0;
  for (const group of groups) {
    const values = await group.data<'float32'>();
    const width = group.shape[4];
    for (let v = 0; v < voxels; v++) {
      for (let c = 0; c < width; c++) out[(first + c) * voxels + v] = values[v * width + c]!;
    }
    first += width;
  }
  return out;
}

/** Waits until a tensor is computed (one value of it is read back), and lets messages such as cancel in. */
async function finished(tensor: tf.Tensor5D): Promise<void> {
  const probe = tf.slice(tensor, [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]);
  await probe.data();
  probe.dispose();
  await new Promise((resolve) => setTimeout(resolve, 0));
}

function ranges(count: number, size: number): [number, number][] {
  return Array.from({ length: Math.ceil(count / size) }, (_, n) => [n * size, Math.min(count, (n + 1) * size)]);
}
