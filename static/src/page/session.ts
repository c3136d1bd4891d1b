// The page's state (scan, model, result) and what a visitor can do with it.
import { CallError } from '../worker/client';
import type { EngineClient } from '../worker/engine-client';
import type { ModelSource } from '../model/source';
import type { BackendChoice, BackendOptions, Calls, Outcome, RunReport, ScanSummary, Stage } from '../worker/protocol';
import { messageOf } from '../engine/message';
import type { ModelSpec } from '../generated/model-spec';
import { Page } from './page';
import { unzipped } from './ui/archive';
import { keepAwake } from './ui/awake';
import { readCleaning } from './ui/cleaning';
import { seriesOf } from './ui/dicom';
import { sortFiles, zipName } from './ui/files';
import type { Dropped } from './ui/files';
import { formatDuration, savedName, tableName } from './ui/format';
import type { ModelPicker } from './ui/model-picker';
import { askForInput, askForSeries, clearQuestion, offerFrame } from './ui/questions';
import { hideResults, showResults } from './ui/results';
import { fetchSample } from './ui/sample';
import { saveAsDownload } from './ui/saving';
import type { Saver } from './ui/saving';
import { volumesCsv } from './ui/table';
import { resetProgress, showBackend, showProgress, showScanFacts } from './ui/status';
import type { Viewer } from './viewer';

interface Result {
  readonly spec: ModelSpec;
  readonly report: RunReport;
  /** Of the model picked for it. */
  readonly key: string;
  /** As last shown. */
  readonly outcome?: Outcome;
  /** Of the outcome: components below were removed. */
  readonly smallestMl: number | null;
}

export class Session {
  /** What of this can be seen. */
  readonly page: Page;
  /** False where the list of models is fixed. */
  takesModels = true;
  /** Where saved files go. */
  saver: Saver = saveAsDownload;
  private scan: ScanSummary | null = null;
  private result: Result | null = null;
  private choice: BackendChoice | null = null;
  /** Whether the result shown is not yet the one asked for. */
  private outdated = false;

  constructor(
    private readonly client: EngineClient,
    private readonly options: BackendOptions,
    private readonly picker: ModelPicker,
    viewer: Promise<Viewer | null>,
  ) {
    this.page = new Page(picker, viewer, () => ({ scan: this.scan, result: this.result, choice: this.choice }));
    picker.onChange = () => {
      this.page.refresh();
    };
  }

  /** Whether a reload would lose nothing of the visitor's. */
  get isEmpty(): boolean {
    return this.scan === null && !this.page.isBusy;
  }

  /** Says before anything is run what would run it. */
  async showExpectedBackend(): Promise<void> {
    try {
      this.choice = await this.client.call('probe', this.options);
      if (this.result === null && !this.page.isRunning) showBackend(this.choice, 'Will run');
      this.page.refresh();
    } catch (error) {
      this.page.fail(error);
    }
  }

  /** A scan or a model, by drop or by picker; `folder` is the name of a dropped one. */
  async open(files: readonly File[], folder: string | null = null): Promise<void> {
    if (this.page.isBusy) {
      this.page.remark(`${files[0]!.name} was not opened, because something is still under way; drop it again when that is done${this.page.isRunning ? ', or press Cancel first' : ''}.`);
      return;
    }
    this.page.forgetRemark();
    clearQuestion();
    await this.openSorted(await this.unpack(files), folder ?? zipName(files));
    // What was asked of the result meanwhile; its loop ran out before.
    if (this.result !== null) await this.measure('Updating the result…', false);
  }

  /** What was dropped, or what is in the zip that was. */
  private async unpack(files: readonly File[]): Promise<Dropped> {
    this.page.keepPrivate(files);
    const dropped = sortFiles(files);
    if (dropped.kind !== 'zip') return dropped;
    this.page.enter('loading', `Unpacking ${dropped.file.name}…`);
    try {
      const inside = await unzipped(dropped.file);
      this.page.keepPrivate(inside);
      return sortFiles(inside);
    } catch (error) {
      return { kind: 'refused', reason: messageOf(error) };
    }
  }

  private async openSorted(dropped: Dropped, from: string | null): Promise<void> {
    if (dropped.kind === 'zip') this.page.fail(new Error(`${dropped.file.name} lies in another zip; unpack that one on this computer and drop what is inside.`));
    else if (dropped.kind === 'refused') this.page.fail(new Error(dropped.reason));
    else if (dropped.kind === 'model' && !this.takesModels) this.page.fail(new Error('This page has a fixed list of models; drop a scan, and choose the model from the list.'));
    else if (dropped.kind === 'model') await this.addModel(dropped.source);
    else if (dropped.kind === 'unknown') await this.openUnknown(dropped.files, from);
    else await this.loadScan(dropped.files, null);
  }

  async openSample(): Promise<void> {
    if (this.page.isBusy) return;
    clearQuestion();
    this.page.enter('loading', 'Opening the sample…');
    try {
      await this.loadScan([await fetchSample(this.picker.picked?.modality ?? [])], null);
    } catch (error) {
      this.page.fail(error);
    }
  }

  async segment(): Promise<void> {
    const model = this.picker.picked;
    if (model === null || this.scan === null || this.page.isBusy) return;
    // What was asked about another scan has no answer once this one is segmented.
    clearQuestion();
    this.page.forgetRemark();
    this.result = null;
    hideResults();
    resetProgress();
    this.page.enter('running', `Segmenting with ${model.name}…`);
    await this.page.draw((viewer) => { viewer.clearLabels(); });
    const awake = await keepAwake();
    try {
      const ran = await this.client.call('run', { source: model.source, options: this.options }, this.stageListener());
      this.result = { ...ran, key: model.key, smallestMl: null };
      showBackend(this.result.report, 'Ran');
      this.page.lastError = null;
      this.outdated = true;
      await this.measure('Measuring…', true);
    } catch (error) {
      if (error instanceof CallError && error.cancelled) this.page.enter('ready', 'Cancelled. The scan is still open; press Segment to start again.');
      else this.page.fail(error);
    } finally {
      void awake?.release();
    }
  }

  cancel(): void {
    this.client.cancel();
  }

  /** Again with or without small components; the network does not run again. */
  async clean(): Promise<void> {
    if (this.result === null) return;
    this.outdated = true;
    this.page.forgetRemark();
    // A change made while an update runs is taken up by the loop of that one.
    if (this.page.isBusy) return;
    await this.measure('Updating the result…', false);
  }

  async save(space: 'native' | 'conformed'): Promise<void> {
    if (this.result === null || this.scan === null) return;
    const name = savedName(this.scan, this.result, space);
    const grid = space === 'native' ? 'on the scan’s own grid' : 'on the 1 mm grid the model saw';
    await this.write(name, grid, async () => (await this.client.call('save', { space })).bytes);
  }

  async saveTable(): Promise<void> {
    if (this.result?.outcome === undefined || this.scan === null) return;
    const { spec, outcome } = this.result;
    const csv = volumesCsv(this.scan.name, spec.id, outcome, spec.labels, savedName(this.scan, this.result, 'native'));
    await this.write(tableName(this.scan, this.result), 'volumes on the scan’s own grid', () => Promise.resolve(new TextEncoder().encode(csv)));
  }

  private async write(name: string, what: string, content: () => Promise<Uint8Array>): Promise<void> {
    try {
      // The place first: browsers let a page ask for it only right after the click.
      const write = await this.saver(name);
      if (write === null) return;
      const saved = await write(await content());
      if (!this.page.isBusy) this.page.settle(`Saved ${saved.place}: ${saved.name} (${what}).`);
    } catch (error) {
      // A run that was started meanwhile goes on.
      if (this.page.isBusy) this.page.remark(`${name} was not saved: ${messageOf(error)}`);
      else this.page.fail(error);
    }
  }

  private async addModel(source: ModelSource): Promise<void> {
    this.page.enter('loading', 'Reading the model…');
    try {
      const { spec, notes } = await this.client.call('model', { source });
      if (spec === null) {
        this.page.settle('The model needs two answers before it can be used.');
        askForInput((answers) => {
          if (source.kind === 'tfjs') this.answer(() => this.addModel({ ...source, answers }));
        });
        return;
      }
      this.picker.add(spec, source, notes);
      this.page.settle(`The model ${spec.name} can be used now.`);
    } catch (error) {
      this.page.fail(error);
    }
  }

  /** `from`: the folder or zip they lie in, which tells series of one protocol apart. */
  private async openUnknown(files: readonly File[], from: string | null): Promise<void> {
    this.page.enter('loading', 'Opening…');
    try {
      const series = await seriesOf(files, from, (count) => { this.page.enter('loading', `Converting ${count} DICOM files…`); });
      this.page.keepPrivate(series);
      if (series.length === 1) {
        await this.loadScan(series, null);
        return;
      }
      this.page.settle('Choose one of the images.');
      askForSeries(series, (file) => { this.answer(() => this.loadScan([file], null)); });
    } catch (error) {
      this.page.fail(error);
    }
  }

  private async loadScan(files: readonly File[], frame: number | null): Promise<void> {
    this.page.enter('loading', `Opening ${files[0]!.name}…`);
    let loaded: Calls['load']['reply'];
    try {
      loaded = await this.client.call('load', { files, frame });
    } catch (error) {
      this.page.fail(error);
      if (error instanceof CallError && error.frames !== null) {
        offerFrame(error.frames, (chosen) => { this.answer(() => this.loadScan(files, chosen)); });
      }
      return;
    }
    this.scan = loaded.summary;
    this.result = null;
    this.page.lastError = null;
    hideResults();
    showScanFacts(this.scan);
    if (this.choice !== null) showBackend(this.choice, 'Will run');
    await this.page.draw((viewer) => viewer.showScan(loaded.display));
    this.page.enter('ready', 'Ready: press Segment.');
  }

  /** Until the outcome shown is the one asked for; nothing is left to cancel by then. */
  private async measure(text: string, lookThere: boolean): Promise<void> {
    while (this.outdated) {
      this.outdated = false;
      this.page.enter('loading', text);
      try {
        await this.showOutcome(lookThere);
      } catch (error) {
        this.page.fail(error);
      }
    }
  }

  private async showOutcome(lookThere: boolean): Promise<void> {
    const { spec, report } = this.result!;
    const { smallestMl, problem } = readCleaning();
    if (problem !== null) this.page.remark(problem);
    const outcome = await this.client.call('outcome', { smallestMl });
    this.result = { ...this.result!, outcome, smallestMl };
    const goTo = (voxel: readonly [number, number, number]): void => {
      void this.page.draw((viewer) => { viewer.goTo(voxel); });
    };
    await this.page.draw((viewer) => viewer.showLabels(outcome.overlay, spec.labels));
    showResults(outcome, spec, goTo);
    const found = spec.labels.find(({ index }) => index !== 0 && outcome.centres[index] != null);
    if (lookThere && found !== undefined) goTo(outcome.parts?.largest[0]?.centre ?? outcome.centres[found.index]!);
    const nothing = found === undefined ? ` No ${spec.labels.slice(1).map(({ name }) => name).slice(0, 3).join(', ')} found.` : '';
    this.page.enter('done', `Done in ${formatDuration(report.milliseconds / 1000)}.${nothing}`);
  }

  private stageListener(): (stage: Stage) => void {
    let start = performance.now();
    return (stage) => {
      if (stage.stage === 'backend') {
        this.choice = stage;
        start = performance.now();
        showBackend(stage, 'Runs');
      }
      if (stage.stage === 'layers') showProgress(stage, (performance.now() - start) / 1000);
    };
  }

  /** Carries out what a question's answer asks for; a question may still stand while a result is updated. */
  private answer(action: () => Promise<void>): void {
    if (this.page.isBusy) this.page.remark('Something is still under way; open the file again when that is done.');
    else void action();
  }
}
