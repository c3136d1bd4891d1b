// The page in a frame: the page around it sends a scan and gets progress, volumes and labels. Messages count only from the
// parent window, and only from the origins of --embed-origin; answers go to the origin that asked.
import { messageOf } from '../../engine/message';
import { openLinked, pickLinked, segmentLinked } from '../actions/open-link';
import { answerFrame } from '../actions/open';
import { cancel } from '../actions/segment';
import { isActive } from '../queue';
import type { Session } from '../session';
import { isBusy, restingKind } from '../state';
import type { PageState } from '../state';
import { notesOfResult, outcomeRequest, shownResult, shownStudy } from '../studies';
import { inEnglish } from '../texts/language';
import { say } from '../texts/message';
import { savedName } from '../ui/format';
import { addressOf } from './link';
import { idOf, parseMessage } from './messages';
import type { FromParent, RequestId, ToParent } from './messages';

type SegmentRequest = Extract<FromParent, { type: 'meshnet:segment' }>;
type Reason = Extract<ToParent, { type: 'meshnet:error' }>['reason'];

/** A request under way, and the origin that it came from. */
interface Request {
  readonly id: RequestId;
  readonly origin: string;
  isCancelled: boolean;
}

function refuseCancelled({ isCancelled }: Request): void {
  if (isCancelled) throw new Refusal('cancelled', inEnglish(say('embed.cancelled')));
}

/** A failure of a request, with the reason that the parent gets. */
class Refusal extends Error {
  constructor(readonly reason: Reason, message: string) {
    super(message);
  }
}

export class Embedded {
  private request: Request | null = null;

  /** `origins`: those that may embed the page, once the server's settings are there; messages that arrive before wait for them. */
  constructor(
    private readonly session: Session,
    private readonly parent: Pick<Window, 'postMessage'>,
    private readonly origins: Promise<readonly string[]>,
  ) {}

  /** A message event of the window. */
  async receive({ data, origin, source }: Pick<MessageEvent, 'data' | 'origin' | 'source'>): Promise<void> {
    if (source !== this.parent) return;
    const allowed = (await this.origins).map((other) => (other === 'self' ? location.origin : other));
    if (!allowed.includes(origin)) return;
    try {
      const message = parseMessage(data);
      if (message?.type === 'meshnet:hello') this.sendReady(origin);
      else if (message?.type === 'meshnet:cancel') this.cancel(message.id);
      else if (message?.type === 'meshnet:segment') await this.segment(message, origin);
    } catch (error) {
      this.send(origin, { type: 'meshnet:error', id: idOf(data), reason: 'invalid', message: messageOf(error) });
    }
  }

  /** Reports a change of the page's state as progress. */
  changed({ activity, run }: PageState, before: PageState): void {
    if (this.request === null || (activity === before.activity && run === before.run)) return;
    if (activity.kind !== 'loading' && activity.kind !== 'running') return;
    const { id, origin } = this.request;
    this.send(origin, { type: 'meshnet:progress', id, text: inEnglish(activity.text), fraction: run?.progress?.fraction ?? null });
  }

  private sendReady(origin: string): void {
    const { version, models } = this.session.state;
    this.send(origin, { type: 'meshnet:ready', version, models: models.usable.map(({ key, name, modality }) => ({ id: key, name: inEnglish(name), modality })) });
  }

  private cancel(id: RequestId): void {
    if (this.request?.id !== id) return;
    this.request.isCancelled = true;
    cancel(this.session);
  }

  private async segment(message: SegmentRequest, origin: string): Promise<void> {
    const { id } = message;
    const { state } = this.session;
    if (this.request !== null || isBusy(state) || isActive(state.queue)) {
      this.send(origin, { type: 'meshnet:error', id, reason: 'busy', message: inEnglish(say('embed.busy')) });
      return;
    }
    const request: Request = { id, origin, isCancelled: false };
    this.request = request;
    try {
      await this.open(message);
      refuseCancelled(request);
      const before = shownResult(shownStudy(this.session.state))?.id;
      await segmentLinked(this.session);
      refuseCancelled(request);
      const answer = await this.result(id, before);
      this.send(origin, answer, [answer.labels]);
    } catch (error) {
      const reason = error instanceof Refusal ? error.reason : 'failed';
      this.send(origin, { type: 'meshnet:error', id, reason, message: messageOf(error) });
    } finally {
      this.request = null;
    }
  }

  /** Opens the scan, and answers the question which of its volumes where the message says that. */
  private async open({ scan, model, frame }: SegmentRequest): Promise<void> {
    const { session } = this;
    session.enter(restingKind(session.state), say('open.opening')); // an earlier failure is no failure of this request
    pickLinked(session, model ?? null);
    this.refuseFailure();
    const listed = session.state.studies.length;
    if ('url' in scan) await openLinked(session, [addressOf(scan.url, location.href)]);
    else await openLinked(session, [new File([scan.bytes], scan.name)]);
    if (session.state.question?.kind === 'frame' && frame !== undefined) await answerFrame(session, frame);
    this.refuseFailure();
    const { question, studies } = session.state;
    if (question?.kind === 'frame') throw new Refusal('refused', inEnglish(say('ask.frames', { n: question.frames })));
    if (question !== null || studies.length > listed + 1) throw new Refusal('refused', inEnglish(say('embed.several')));
  }

  private refuseFailure(): void {
    const { activity } = this.session.state;
    if (activity.kind === 'error') throw new Refusal('refused', inEnglish(activity.text));
  }

  private async result(id: RequestId, before: number | undefined): Promise<Extract<ToParent, { type: 'meshnet:result' }>> {
    const study = shownStudy(this.session.state);
    const result = shownResult(study);
    if (study?.facts == null || result === null || result.id === before) throw new Error(inEnglish(this.session.state.activity.text));
    const { spec, report, outcome } = result;
    const { bytes } = await this.session.idleClient.call('save', { ...outcomeRequest(study, result), space: 'native', allLabels: this.session.state.cleaning.allLabels });
    return {
      type: 'meshnet:result',
      id,
      scan: study.facts.summary.name,
      model: { id: spec.id, name: spec.name, sha256: spec.weights.sha256 },
      backend: report.backend,
      seconds: report.milliseconds / 1000,
      volumes: outcome.volumes.map(({ index, voxels, volumeMl }) => ({ index, name: spec.labels[index]?.name ?? String(index), voxels, volumeMl })),
      notes: notesOfResult(study, result),
      labelsName: savedName(study.facts.summary, result, 'native'),
      labels: Uint8Array.from(bytes).buffer,
    };
  }

  private send(origin: string, message: ToParent, transfer: ArrayBuffer[] = []): void {
    this.parent.postMessage(message, origin, transfer);
  }
}
