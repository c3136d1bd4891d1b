// Wiring only: connects index.html to the session.
import { EngineClient } from '../worker/engine-client';
import { startKiosk } from './kiosk/kiosk';
import { keepOffline } from './offline/register';
import { showOffline } from './offline/status';
import { Session } from './session';
import { fetchCatalogue } from './ui/catalogue';
import { copyText } from './ui/copy';
import { byId, byTestId } from './ui/dom';
import { filesOf } from './ui/files';
import { ModelPicker } from './ui/model-picker';
import { readOptions } from './ui/options';
import { saveInFolder } from './ui/saving';
import { connectReadout, connectViews } from './ui/view-controls';

const picker = new ModelPicker();
const client = new EngineClient(() => new Worker(new URL('../worker/worker.ts', import.meta.url), { type: 'module' }));
// NiiVue is most of the page's weight; the controls work before it is there.
const viewer = import('./viewer').then(({ Viewer }) => Viewer.open(byId('canvas', HTMLCanvasElement))).catch((error: unknown) => {
  sayNoViewer(`The viewer needs WebGL2, which is not available here (${String(error)}). Segmenting and saving still work.`);
  return null;
});
const session = new Session(client, optionsOrNone(), picker, viewer);

byTestId('run', HTMLButtonElement).addEventListener('click', () => void session.segment());
byTestId('cancel', HTMLButtonElement).addEventListener('click', () => { session.cancel(); });
byTestId('sample', HTMLButtonElement).addEventListener('click', () => void session.openSample());
byTestId('save-native', HTMLButtonElement).addEventListener('click', () => void session.save('native'));
byTestId('save-conformed', HTMLButtonElement).addEventListener('click', () => void session.save('conformed'));
byTestId('save-table', HTMLButtonElement).addEventListener('click', () => void session.saveTable());
byId('clean', HTMLInputElement).addEventListener('change', () => void session.clean());
byId('clean-ml', HTMLInputElement).addEventListener('change', () => void session.clean());

const fileInput = byTestId('file', HTMLInputElement);
fileInput.addEventListener('change', () => {
  const files = Array.from(fileInput.files ?? []);
  // Emptied, so that choosing the same file again counts as a change.
  fileInput.value = '';
  if (files.length > 0) void session.open(files);
});

connectDrop();
void viewer.then((opened) => {
  if (opened === null) return;
  opened.onLost = (error) => {
    sayNoViewer(`The graphics device was reset and the picture is lost (${String(error)}). Segmenting, measuring and saving still work.`);
  };
  connectViews(opened);
  connectReadout(opened);
});
byId('copy', HTMLButtonElement).addEventListener('click', () => {
  void copyText(byTestId('diagnostics', HTMLPreElement)).then((said) => { byId('copied', HTMLSpanElement).textContent = said; });
});

void session.showExpectedBackend();
fetchCatalogue().then(
  (catalogue) => {
    session.page.version = catalogue.version;
    picker.showCatalogue(catalogue);
    if (catalogue.kiosk === null) return;
    session.takesModels = false;
    session.saver = saveInFolder;
    startKiosk(catalogue.kiosk, byId('kiosk-tools', HTMLDivElement), () => session.page.isBusy);
  },
  (error: unknown) => {
    picker.showEmpty('No list of models');
    session.page.fail(error);
  },
);

// The development server has no list of what makes up a version.
if (import.meta.env.PROD) {
  const line = byTestId('offline', HTMLParagraphElement);
  void keepOffline({ show: (state) => { showOffline(line, state); }, mayReload: () => session.isEmpty });
}

/** In the place of the picture. */
function sayNoViewer(text: string): void {
  const box = byId('no-viewer', HTMLDivElement);
  box.textContent = text;
  box.hidden = false;
}

/** A drop counts anywhere on the page. */
function connectDrop(): void {
  const veil = byId('drop-veil', HTMLDivElement);
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    veil.hidden = true;
    const { dataTransfer } = event;
    if (dataTransfer !== null) void filesOf(dataTransfer).then(({ files, folder }) => session.open(files, folder), (error: unknown) => { session.page.fail(error); });
  });
}

function optionsOrNone(): ReturnType<typeof readOptions> {
  try {
    return readOptions(location.search);
  } catch (error) {
    queueMicrotask(() => { session.page.fail(error); });
    return { forced: null, maxBufferBytes: null };
  }
}
