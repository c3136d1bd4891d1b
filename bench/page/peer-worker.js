// TF.js and onnxruntime-web at their default options, with equal threads. Answers one job, then is thrown away.
importScripts('count-memory.js');

const RUNTIMES = { tfjs: runTfjs, ort: runOrt };

self.onmessage = async ({ data: job }) => {
  const [library, backend] = job.engine.split(':');
  try {
    const answer = await RUNTIMES[library](backend, job);
    self.postMessage({ error: null, reached: null, ...answer, ...self.allocated(backend === 'wasm' ? 'wasm' : 'gpu') });
  } catch (error) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    self.postMessage({ error: text, ...self.allocated(backend === 'wasm' ? 'wasm' : 'gpu') });
  }
};

/** Runs `once` as often as the job asks; it gives labels, or null where it stopped at the cap. */
async function repeated({ repeat }, once) {
  const runsMs = [];
  const begin = performance.now();
  let labels = null;
  do {
    const start = performance.now();
    labels = await once(runsMs.length === 0);
    if (labels === null) return { runsMs, labels };
    runsMs.push(performance.now() - start);
  } while (runsMs.length < repeat.atMost && performance.now() - begin + runsMs.at(-1) <= repeat.withinMs);
  return { runsMs, labels };
}

async function floats(url) {
  return new Float32Array(await (await fetch(url)).arrayBuffer());
}

/** Layer by layer, as brainchop runs it: the arithmetic of model.predict, and the pace of each layer is known. */
async function runTfjs(backend, job) {
  const start = performance.now();
  importScripts(`${job.base}/peers/@tensorflow/tfjs/dist/tf.min.js`);
  if (backend === 'webgpu') importScripts(`${job.base}/peers/@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.min.js`);
  if (backend === 'wasm') {
    importScripts(`${job.base}/peers/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js`);
    tf.wasm.setWasmPaths(`${job.base}/peers/@tensorflow/tfjs-backend-wasm/dist/`);
    tf.wasm.setThreadsCount(job.threads);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`TF.js could not start its ${backend} backend`);
  await tf.ready();
  const model = await tf.loadLayersModel(job.model);
  const data = await floats(job.volume);
  const setupMs = performance.now() - start;
  let reached = null;

  const once = async (first) => {
    const begin = performance.now();
    let x = tf.tensor(data, [1, job.size, job.size, job.size, 1]);
    for (const layer of model.layers.slice(1)) {
      const y = tf.tidy(() => normed(layer, layer.apply(x), job));
      x.dispose();
      x = y;
      if (!layer.name.startsWith('activation')) continue;
      await settled(x);
      const milliseconds = performance.now() - begin;
      const layers = Number(layer.name.split('_')[1]) + 1;
      if (first) reached = { layers, share: job.shares[layers - 1], milliseconds };
      if (job.capMs !== null && milliseconds > job.capMs) {
        x.dispose();
        return null;
      }
    }
    const labels = tf.tidy(() => tf.argMax(x, -1));
    x.dispose();
    const values = await labels.data();
    labels.dispose();
    return Uint8Array.from(values);
  };
  const { runsMs, labels } = await repeated(job, once);
  const device = backend === 'wasm' ? `${tf.wasm.getThreadsCount()} threads` : backend;
  return { runsMs, labels, setupMs, reached, device, error: labels === null ? 'cap' : null };
}

/** The per-channel norm that brainchop's runner applies after layers of a certain name. */
function normed(layer, y, { normSuffix, normEps }) {
  if (!layer.name.endsWith(normSuffix)) return y;
  const { mean, variance } = tf.moments(y, [1, 2, 3], true);
  return y.sub(mean).mul(variance.add(normEps).rsqrt());
}

/** Waits until a tensor is computed: reads one value of it. */
async function settled(x) {
  const corner = tf.slice(x, [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]);
  await corner.data();
  corner.dispose();
}

async function runOrt(backend, job) {
  const start = performance.now();
  const file = backend === 'webgpu' ? 'ort.webgpu.min.js' : 'ort.min.js';
  importScripts(`${job.base}/peers/onnxruntime-web/dist/${file}`);
  ort.env.wasm.wasmPaths = `${job.base}/peers/onnxruntime-web/dist/`;
  ort.env.wasm.numThreads = job.threads; // its default is half the processors
  const session = await ort.InferenceSession.create(job.model, { executionProviders: [backend] });
  const image = new ort.Tensor('float32', await floats(job.volume), [1, 1, job.size, job.size, job.size]);
  const setupMs = performance.now() - start;
  const { runsMs, labels } = await repeated(job, async () => {
    const { labels: output } = await session.run({ image });
    return await output.getData();
  });
  return { runsMs, labels, setupMs, device: backend === 'wasm' ? `${ort.env.wasm.numThreads} threads` : backend };
}
