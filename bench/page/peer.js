// One visit on another runtime, in a worker, as this project's engines are. Evaluated in a blank page.
async (job) => {
  const worker = new Worker(`${job.base}/page/peer-worker.js`);
  const answer = new Promise((resolve) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => resolve({ error: `the worker stopped: ${event.message}` });
    setTimeout(() => resolve({ error: 'timeout' }), job.hardMs);
  });
  worker.postMessage(job);
  const { labels, ...report } = await answer;
  window.benchLabels = labels ?? null;
  return report;
};
