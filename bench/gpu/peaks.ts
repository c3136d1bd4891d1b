// Adapter, limits and measured peaks of WebGPU under Deno: deno run -A --unstable-webgpu peaks.ts FOLDER SECONDS
//
// Writes FOLDER/peaks.json. Each peak is the best of several dispatches that take SECONDS or more each, by the device's
// clock where it has one, else by the wall clock from the submission to the end of the work. With SECONDS 0 only the
// adapter and its limits are read.
const [folder, seconds] = [Deno.args[0]!, Number(Deno.args[1])];
const here = new URL('.', import.meta.url);
const REPEATS = 5;

interface Work {
  readonly pipeline: GPUComputePipeline;
  readonly bindings: GPUBindGroup;
  readonly groups: readonly [number, number];
}

const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
if (adapter === null) {
  await write({ available: false, reason: 'WebGPU under Deno: no adapter' });
  Deno.exit(0);
}
const wanted: GPUFeatureName[] = ['timestamp-query', 'shader-f16'];
const features = wanted.filter((name) => adapter.features.has(name));
const device = await adapter.requestDevice({ requiredFeatures: features });
const { vendor, architecture, device: name, description } = adapter.info;
const about = {
  available: true,
  vendor, architecture, device: name, description,
  features: [...adapter.features].sort(),
  limits: limitsOf(adapter.limits),
  clock: features.includes('timestamp-query') ? 'device' : 'wall',
};
await write(about);
if (seconds > 0) {
  const peaks: Record<string, number | string> = {};
  for (const [label, measure] of [['flops', flops('multiply_add.wgsl')], ['flopsF16', flops('multiply_add_f16.wgsl')], ['bytesPerS', bytesPerS]] as const) {
    try {
      peaks[label] = label === 'flopsF16' && !features.includes('shader-f16') ? 'the adapter lacks shader-f16' : await measure();
    } catch (error) {
      peaks[label] = String(error);
    }
    await write({ ...about, ...peaks });
  }
}
device.destroy();
Deno.exit(0);

function flops(file: string): () => Promise<number> {
  return async () => {
    const uniforms = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    const result = device.createBuffer({ size: 4 * 65536, usage: GPUBufferUsage.STORAGE });
    const pipeline = await compile(file);
    const bindings = bind(pipeline, [uniforms, result]);
    const perTurn = 128;
    let [turns, groups] = [64, 64];
    for (;;) {
      const content = new ArrayBuffer(16);
      new Uint32Array(content, 0, 1)[0] = turns;
      new Float32Array(content, 4, 2).set([0.5, 1]);
      device.queue.writeBuffer(uniforms, 0, content);
      const work = { pipeline, bindings, groups: [groups, 1] as const };
      const took = await timed(work);
      if (took >= seconds || (groups === 65535 && turns >= 2 ** 16)) return (256 * groups * turns * perTurn) / (await best(work, took));
      if (groups < 65535) groups = Math.min(65535, groups * 4);
      else turns *= 4;
    }
  };
}

async function bytesPerS(): Promise<number> {
  let size = 2 ** 22;
  for (;;) {
    const [source, destination] = [0, 1].map(() => device.createBuffer({ size, usage: GPUBufferUsage.STORAGE }));
    const uniforms = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    const pipeline = await compile('copy.wgsl');
    const across = Math.min(size / 16 / 256, 4096);
    device.queue.writeBuffer(uniforms, 0, new Uint32Array([across * 256, 0, 0, 0]));
    const work = { pipeline, bindings: bind(pipeline, [uniforms, source!, destination!]), groups: [across, Math.ceil(size / 16 / 256 / across)] as const };
    const took = await timed(work);
    // A buffer beyond every cache: the largest binding of any device, unless that takes much longer than SECONDS.
    const done = size >= device.limits.maxStorageBufferBindingSize || took > 4 * seconds;
    const rate = done ? (2 * size) / (await best(work, took)) : 0;
    for (const buffer of [source!, destination!, uniforms]) buffer.destroy();
    if (done) return rate;
    size *= 2;
  }
}

async function compile(file: string): Promise<GPUComputePipeline> {
  const code = await Deno.readTextFile(new URL(file, here));
  return device.createComputePipelineAsync({ layout: 'auto', compute: { module: device.createShaderModule({ code, label: file }), entryPoint: 'main' } });
}

function bind(pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[]): GPUBindGroup {
  return device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })) });
}

/** Seconds of the fastest of several dispatches, `took` among them. */
async function best(work: Work, took: number): Promise<number> {
  let least = took;
  for (let i = 0; i < REPEATS; i++) least = Math.min(least, await timed(work));
  return least;
}

/** Seconds of one dispatch. */
async function timed({ pipeline, bindings, groups }: Work): Promise<number> {
  const clock = about.clock === 'device' ? timestamps() : null;
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass(clock === null ? {} : { timestampWrites: clock.writes });
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindings);
  pass.dispatchWorkgroups(...groups);
  pass.end();
  clock?.resolve(encoder);
  const start = performance.now();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  const wall = (performance.now() - start) / 1e3;
  const measured = clock === null ? wall : await clock.seconds();
  return measured > 0 ? measured : wall;
}

function timestamps() {
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
  const resolved = device.createBuffer({ size: 16, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  return {
    writes: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    resolve(encoder: GPUCommandEncoder) {
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
    },
    async seconds(): Promise<number> {
      await staging.mapAsync(GPUMapMode.READ);
      const [begin, end] = new BigUint64Array(staging.getMappedRange().slice(0));
      for (const buffer of [resolved, staging]) buffer.destroy();
      querySet.destroy();
      return Number(end! - begin!) / 1e9;
    },
  };
}

/** The limits by name; their values are getters of the prototype. */
function limitsOf(limits: GPUSupportedLimits): Record<string, number> {
  const names = Object.keys(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(limits)));
  const entries = names.map((limit) => [limit, (limits as unknown as Record<string, unknown>)[limit]] as const);
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, number] => typeof entry[1] === 'number'));
}

async function write(content: Record<string, unknown>): Promise<void> {
  await Deno.writeTextFile(`${folder}/peaks.json`, JSON.stringify(content));
}
