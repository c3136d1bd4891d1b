// Wiring only: connects the elements of index.html to the actions, and the session's state to `show`.
import { EditClient } from '../worker/edit-client';
import { EngineClient } from '../worker/engine-client';
import { compareWithFile, compareWithResult, endComparison, isReference } from './actions/compare';
import { ScanKeeping } from './actions/keep';
import { abandonStroke, changeSettings, endStroke, pickLabel, press, revertEdits, runCommand, startEditing, stroke } from './actions/edit';
import { fetchWeights, missCatalogue, pickModel, useCatalogue } from './actions/models';
import { changeConfidence, clean, goTo, removeResult, removeStudy, showLabel, showResult, showStudy, threshold } from './actions/look';
import { answerAll, answerAllFrames, answerFrame, answerInput, answerSeries, open, openSample } from './actions/open';
import { followLink } from './actions/open-link';
import { pauseQueue, resumeQueue, segmentAll, skipScan, stopScan } from './actions/queue';
import { saveMesh } from './actions/mesh';
import { saveReport, saveReports } from './actions/report';
import { saveDicomSeg, saveLabels, saveProbability, saveTable } from './actions/save';
import { saveAll, saveSummary, showTable } from './actions/save-all';
import { cancel, findBackend, segment } from './actions/segment';
import { connectPointer } from './edit/pointer';
import { withSize } from './edit/settings';
import { Embedded } from './doors/embedded';
import { readLink } from './doors/link';
import { startKiosk } from './kiosk/kiosk';
import { applyUpdate, keepOffline } from './offline/register';
import { isActive } from './queue';
import { forgetSettings, remember, remembered, rememberView, remembersSettings, showFirstSteps } from './remembered';
import type { Remembered } from './remembered';
import { Session } from './session';
import { show } from './show';
import type { Actions } from './show';
import { allowsKeeping, INITIAL_STATE, isBusy, isEmpty, wouldLose } from './state';
import { fetchCatalogue } from './ui/catalogue';
import { readCleaning, writeCleaning } from './ui/cleaning';
import { connectThreshold, readConfidence } from './ui/confidence';
import { firstLanguage, setLanguage } from './choose-language';
import { isLanguage, read } from './texts/language';
import { say } from './texts/message';
import type { Text } from './texts/message';
import { copyText } from './ui/copy';
import { showForgotten, showKeeping } from './ui/keeping';
import { byId, byTestId } from './ui/dom';
import { connectEditPanel, showBrush } from './ui/edit-panel';
import { filesOf, folderName } from './ui/files';
import { readOptions } from './ui/options';
import { connectStudyKeys } from './ui/study-list';
import { connectReadout, connectViews } from './ui/view-controls';

/** Milliseconds that the viewer waits for the controls at most. */
const LONGEST_WAIT_MS = 2000;

const newClient = (): EngineClient => new EngineClient(() => new Worker(new URL('../worker/worker.ts', import.meta.url), { type: 'module' }));
const tools = new EditClient(() => new Worker(new URL('../worker/edit-worker.ts', import.meta.url), { type: 'module' }));
const catalogueArrived = fetchCatalogue();
// NiiVue is most of the page's weight, so it is fetched once the controls work.
let fetchViewer: () => void = () => undefined;
const viewer = new Promise<void>((resolve) => { fetchViewer = resolve; })
  .then(() => import('./picture/viewer'))
  .then(({ Viewer }) => Viewer.open(byId('canvas', HTMLCanvasElement)))
  .catch((error: unknown) => {
    session.say({ noViewer: say('viewer.noWebgl2', { reason: String(error) }) });
    return null;
  });
const actions: Actions = {
  answerFrame: (frame) => void answerFrame(session, frame),
  answerSeries: (choice) => void answerSeries(session, choice),
  answerAllFrames: () => void answerAllFrames(session),
  answerAll: () => void answerAll(session),
  answerInput: (answers) => void answerInput(session, answers),
  showStudy: (id) => void showStudy(session, id),
  removeStudy: (id) => void removeStudy(session, id, ask),
  showLayer: (id) => void showResult(session, id),
  removeLayer: (id) => void removeResult(session, id, ask),
  pick: (key) => { pickByHand(key); },
  applyUpdate: () => void applyUpdate(),
  goTo: (voxel) => { goTo(session, voxel); },
  showLabel: (index, isVisible) => { showLabel(session, index, isVisible); },
};
/** Null where the page is in no frame. */
let embedded: Embedded | null = null;
let shown = INITIAL_STATE; // index.html as it is
const session = new Session({ client: newClient(), newReader: newClient, tools, options: optionsOrNone(), viewer }, (state) => {
  const before = shown;
  shown = state;
  show(state, before, actions);
  if (state.kiosk === null && state.activity.kind === 'done' && before.activity.kind !== 'done') keepSettings({ hasSegmented: true });
  scanKeeping.stateChanged();
  embedded?.changed(state, before);
});
const scanKeeping = new ScanKeeping(session, {
  ask,
  setCleaning: (removal) => {
    writeCleaning(removal);
    return readCleaning();
  },
});

onClick('run', () => void segment(session));
onClick('cancel', () => { cancel(session); });
onClick('run-all', () => void segmentAll(session));
onClick('pause', () => { pauseQueue(session); });
onClick('resume', () => void resumeQueue(session));
onClick('skip', () => { skipScan(session); });
onClick('stop', () => { stopScan(session); });
onClick('sample', () => void openSample(session));
const withJson = byId('with-json', HTMLInputElement);
onClick('save-native', () => void saveLabels(session, 'native', withJson.checked));
onClick('save-conformed', () => void saveLabels(session, 'conformed', withJson.checked));
onClick('save-mesh', () => void saveMesh(session));
onClick('save-dicom-seg', () => void saveDicomSeg(session));
onClick('save-table', () => void saveTable(session));
onClick('save-report', () => void saveReport(session));
onClick('save-reports', () => void saveReports(session));
onClick('save-probability', () => void saveProbability(session));
onClick('end-comparison', () => void endComparison(session));
byId('compare-with', HTMLSelectElement).addEventListener('change', (event) => { void compareWithResult(session, Number((event.target as HTMLSelectElement).value)); });
const reference = byTestId('reference', HTMLInputElement);
reference.addEventListener('change', () => {
  const file = reference.files?.[0];
  reference.value = '';
  if (file !== undefined) void compareWithFile(session, file);
});
onClick('start-edit', () => void startEditing(session));
onClick('revert-edits', () => void revertEdits(session));
connectEditPanel(
  {
    run: (command) => void runCommand(session, command),
    size: (mm) => { changeSettings(session, withSize(session.state.editSettings, mm)); },
    tolerance: (tolerancePercent) => { changeSettings(session, { tolerancePercent }); },
    label: (index) => { pickLabel(session, index); },
  },
  () => session.state.editing !== null,
);
onClick('no-threshold', () => void threshold(session, null));
connectThreshold((value) => void threshold(session, value));
for (const id of ['mirror', 'probability']) byId(id, HTMLInputElement).addEventListener('change', () => void changeConfidence(session, readConfidence()));
onClick('show-summary', () => void showTable(session));
onClick('save-summary', () => void saveSummary(session));
onClick('save-all', () => void saveAll(session));
for (const id of ['clean', 'clean-ml', 'keep-outside-brain', 'all-labels']) byId(id, HTMLInputElement).addEventListener('change', () => void clean(session, readCleaning()));
session.change({ cleaning: readCleaning(), confidence: readConfidence() }); // browsers restore fields at a reload
connectStudyKeys();

const languages = byId('language', HTMLSelectElement);
languages.addEventListener('change', () => {
  if (!isLanguage(languages.value)) return;
  void setLanguage(session, languages.value);
  if (session.state.kiosk === null) keepSettings({ language: languages.value });
});
void setLanguage(session, firstLanguage(location.search, remembered().language, navigator.languages));

const list = byTestId('model', HTMLSelectElement);
list.addEventListener('change', () => { pickByHand(list.value); });

for (const id of ['file', 'folder']) {
  const input = byTestId(id, HTMLInputElement);
  input.addEventListener('change', () => {
    const files = Array.from(input.files ?? []);
    // Emptied, so that choosing the same files again counts as a change.
    input.value = '';
    if (files.length > 0) void open(session, files, folderName(files));
  });
}

connectDrop();
showFirstSteps();
showKeeping(session.state, remembersSettings());
const keepBox = byTestId('keep', HTMLInputElement);
keepBox.checked = false; // browsers restore fields at a reload
keepBox.addEventListener('change', () => void scanKeeping.turn(keepBox.checked));
onClick('forget', () => void forgetEverything());
const viewsConnected = viewer.then((opened) => {
  if (opened === null) return;
  opened.onLost = (error) => {
    session.say({ noViewer: say('viewer.lost', { reason: String(error) }) });
  };
  connectViews(opened);
  connectReadout(opened);
  connectPointer(byId('canvas', HTMLCanvasElement).parentElement!, opened, {
    takes: () => session.editor !== null && session.state.editSettings.tool !== 'look',
    begin: (point, isEraser) => void press(session, point, isEraser),
    move: ({ voxel }) => void stroke(session, voxel),
    end: () => { endStroke(session); },
    abandon: () => void abandonStroke(session),
    hover: (place) => { showBrush(opened, session.state.editSettings, place); },
  });
});
byId('copy', HTMLButtonElement).addEventListener('click', () => {
  void copyText(byTestId('diagnostics', HTMLPreElement)).then((said) => { byId('copied', HTMLSpanElement).textContent = read(said); });
});

const backendFound = findBackend(session);
const modelsListed = catalogueArrived.then(
  (catalogue) => {
    const { kiosk } = catalogue;
    useCatalogue(session, catalogue, kiosk === null ? (remembered().model ?? null) : null);
    if (kiosk === null) void viewsConnected.then(() => { rememberView(keepSettings); });
    else {
      if (kiosk.language !== null) void setLanguage(session, kiosk.language);
      startKiosk(kiosk, byId('kiosk-tools', HTMLDivElement), () => isBusy(session.state) || isActive(session.state.queue), () => scanKeeping.end());
    }
    if (allowsKeeping(session.state)) void scanKeeping.start();
    return catalogue.embed_origins;
  },
  (error: unknown) => {
    missCatalogue(session, error);
    return [];
  },
);
void fetchTheRest();
void modelsListed.then(() => { openLink(); });
if (parent !== window) {
  const frame = new Embedded(session, parent, modelsListed);
  embedded = frame;
  addEventListener('message', (event) => void frame.receive(event));
}

/** Fetches by need: the controls, the viewer, the picked model's weights, and last the files for use without a network. */
async function fetchTheRest(): Promise<void> {
  const controlsWork = Promise.all([backendFound, modelsListed]).then(() => performance.mark('usable'));
  // A graphics device may take seconds to answer.
  await Promise.race([controlsWork, new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT_MS))]);
  fetchViewer();
  await viewer;
  await fetchWeights(session);
  // The development server writes no list of files for the service worker.
  if (import.meta.env.PROD) await keepOffline({ show: (offline) => { session.change({ offline }); }, mayReload: () => isEmpty(session.state) });
}

// A kiosk wipes the page without a question.
addEventListener('beforeunload', (event) => { if (session.state.kiosk === null && wouldLose(session.state)) event.preventDefault(); });

function keepSettings(settings: Remembered): void {
  remember(settings);
  showKeeping(session.state, remembersSettings());
}

/** Kept scans first: the visitor, or another window, may say no. */
async function forgetEverything(): Promise<void> {
  if (!(await scanKeeping.forget())) return;
  forgetSettings();
  showForgotten();
}

function pickByHand(key: string): void {
  pickModel(session, key);
  if (session.state.kiosk === null) keepSettings({ model: key });
}

function ask(question: Text): boolean {
  return confirm(read(question));
}

function openLink(): void {
  try {
    void followLink(session, readLink(location.href));
  } catch (error) {
    session.fail(error);
  }
}

function onClick(testId: string, action: () => void): void {
  byTestId(testId, HTMLButtonElement).addEventListener('click', action);
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
    if (dataTransfer !== null) void filesOf(dataTransfer).then(({ files, folder }) => (isReference(session.state, files) ? compareWithFile(session, files[0]!) : open(session, files, folder)), (error: unknown) => { session.fail(error); });
  });
}

function optionsOrNone(): ReturnType<typeof readOptions> {
  try {
    return readOptions(location.search);
  } catch (error) {
    queueMicrotask(() => { session.fail(error); });
    return { forced: null, maxBufferBytes: null };
  }
}
