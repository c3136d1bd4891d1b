// One visit on this project's engines, through the site's own self-test page. Evaluated in that page.
async ({ engine, folder, volume, size, capMs, repeat, hardMs }) => {
  const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());
  const trial = {
    modelJson: await (await fetch(`${folder}/model.json`)).text(),
    weights: await bytes(`${folder}/weights.safetensors`),
    input: new Float32Array((await bytes(volume)).buffer),
    dims: [size, size, size],
    repeat,
    ...(capMs === null ? {} : { cancelAfterMs: capMs }),
  };
  const probe = await window.meshnetEngines.probe(engine);
  const tooLong = new Promise((resolve) => setTimeout(() => resolve(null), hardMs));
  const report = await Promise.race([window.meshnetEngines.run(engine, trial), tooLong]);
  if (report === null) return { error: 'timeout' };
  window.benchLabels = report.labels;
  return {
    error: report.error?.startsWith('AbortError') ? 'cap' : report.error,
    runsMs: report.runsMs,
    setupMs: null,
    reached: report.reached,
    allocatedBytes: report.peakBytes,
    largestBytes: report.largestBufferBytes,
    device: probe.available ? probe.device : probe.reason,
  };
};
