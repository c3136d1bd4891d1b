import { segment } from 'meshnet';

const output = document.querySelector('output');
const model = new URLSearchParams(location.search).get('model') ?? 't2-lesion';

document.querySelector('input').onchange = async ({ target }) => {
  try {
    const { volumes, run } = await segment(target.files[0], model, {
      onProgress: ({ fraction }) => { output.value = `${Math.round(100 * fraction)} %`; },
    });
    output.value = `${run.device}: ${volumes.map(({ name, volumeMl }) => `${name}: ${volumeMl.toFixed(2)} mL`).join(', ')}`;
  } catch (error) {
    output.value = error.message;
  }
};
