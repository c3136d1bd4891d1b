// Runs one trial of the WebGPU engine under Deno: deno run -A run_deno.ts ENGINE_DIR CASE_DIR
//
// ENGINE_DIR is what `vite build -c vite.engine.config.ts` made. CASE_DIR holds model.json,
// weights.safetensors, input.f32 and trial.json ({dims, probabilities, inspect, maxBufferBytes, cancelAfterMs; open, the
// options of `openWebGpu`; fault, see below}); labels.u8, probabilities.u8, output-<layer>.f32 and report.json are written there.
import { pathToFileURL } from 'node:url';

const [engineDir, caseDir] = Deno.args;
const { openWebGpu, webgpu } = await import(pathToFileURL(`${engineDir}/webgpu.js`).href);
const { runTrial } = await import(pathToFileURL(`${engineDir}/trial.js`).href);

const options = JSON.parse(await Deno.readTextFile(`${caseDir}/trial.json`));
const input = new Float32Array((await Deno.readFile(`${caseDir}/input.f32`)).buffer);
const trial = {
  ...options,
  modelJson: await Deno.readTextFile(`${caseDir}/model.json`),
  weights: await Deno.readFile(`${caseDir}/weights.safetensors`),
  input,
};

// A fault to bring about: `lose` ends the device that many milliseconds after it was made; `refuse` makes the device
// answer the first allocations of the run, this many, with "out of memory".
const { open = {}, fault = {} } = options;
const requestDevice = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...request) {
  const device = await requestDevice.apply(this, request);
  if (fault.lose !== undefined) setTimeout(() => device.destroy(), fault.lose);
  const popErrorScope = device.popErrorScope.bind(device);
  let refusals = fault.refuse ?? 0;
  device.popErrorScope = async () => {
    const error = await popErrorScope();
    return refusals-- > 0 ? new GPUOutOfMemoryError('no room') : error;
  };
  return device;
};

const { labels, probabilities, outputs, ...report } = await runTrial(() => openWebGpu(open), trial);
if (labels) await Deno.writeFile(`${caseDir}/labels.u8`, labels);
if (probabilities) await Deno.writeFile(`${caseDir}/probabilities.u8`, probabilities);
for (const [layer, output] of outputs.entries()) {
  await Deno.writeFile(`${caseDir}/output-${layer}.f32`, new Uint8Array(output.buffer));
}
await Deno.writeTextFile(`${caseDir}/report.json`, JSON.stringify({ ...report, probe: await webgpu.probe() }));
