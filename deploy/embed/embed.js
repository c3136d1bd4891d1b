// Sends a scan to MeshNet in the frame, and shows progress, volumes and labels that come back.
const at = (id) => document.getElementById(id);
const address = new URL(new URLSearchParams(location.search).get('meshnet') ?? 'http://127.0.0.1:8000/');
const frame = at('meshnet');
let request = 0;

const send = (message, transfer = []) => frame.contentWindow.postMessage(message, address.origin, transfer);

frame.addEventListener('load', () => send({ type: 'meshnet:hello' }));
frame.src = address.href;

at('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const file = at('scan').files[0];
  const bytes = await file?.arrayBuffer();
  const scan = file ? { name: file.name, bytes } : { url: at('url').value };
  request += 1;
  at('cancel').disabled = false;
  send({ type: 'meshnet:segment', id: request, scan, model: at('model').value }, bytes ? [bytes] : []);
});
at('cancel').addEventListener('click', () => send({ type: 'meshnet:cancel', id: request }));

addEventListener('message', ({ data, origin, source }) => {
  // Only MeshNet's frame at MeshNet's origin counts.
  if (source !== frame.contentWindow || origin !== address.origin) return;
  if (data.type === 'meshnet:ready') {
    at('model').replaceChildren(...data.models.map(({ id, name }) => new Option(name, id)));
    at('start').disabled = false;
    at('said').textContent = `MeshNet ${data.version} is ready.`;
  } else if (data.id !== request && data.id !== null) {
    return; // of an earlier request
  } else if (data.type === 'meshnet:progress') {
    at('said').textContent = data.text;
    if (data.fraction !== null) at('progress').value = data.fraction;
  } else if (data.type === 'meshnet:error') {
    at('said').textContent = `${data.reason}: ${data.message}`;
    at('cancel').disabled = true;
  } else if (data.type === 'meshnet:result') {
    at('said').textContent = `${data.scan}: segmented by ${data.model.name} in ${data.seconds.toFixed(1)} s.`;
    at('progress').value = 1;
    at('cancel').disabled = true;
    at('volumes').replaceChildren(...data.volumes.filter(({ index }) => index > 0).map(({ name, voxels, volumeMl }) => {
      const row = document.createElement('tr');
      for (const text of [name, `${volumeMl.toFixed(2)} mL`, `${voxels} voxels`]) row.insertCell().textContent = text;
      return row;
    }));
    const link = at('labels');
    link.href = URL.createObjectURL(new Blob([data.labels]));
    link.download = link.textContent = data.labelsName;
    link.hidden = false;
  }
});
