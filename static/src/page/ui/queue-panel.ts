// Segment all, and while a queue exists its progress with Pause, Resume, Skip and Stop.
import { isActive, queueCounts, queueFraction, queueSecondsLeft, runningStudy } from '../queue';
import type { Queue } from '../queue';
import type { Study } from '../studies';
import { byId, byTestId } from './dom';
import { formatDuration } from './format';

/** `due`: number of scans that Segment all would run; it needs no button for the one scan that is shown. */
export function showSegmentAll(due: number, listed: number, enabled: boolean): void {
  const button = byTestId('run-all', HTMLButtonElement);
  button.hidden = listed < 2;
  button.disabled = !enabled || due === 0;
  button.textContent = due === 0 ? 'Segment all' : `Segment all (${due})`;
  button.title = 'Every scan of the list that has no result of this model yet';
}

export function showQueue(studies: readonly Study[], queue: Queue | null): void {
  const panel = byTestId('queue', HTMLElement);
  panel.hidden = queue === null || queue.ids.length === 0;
  if (queue === null) return;
  panel.dataset.state = queue.state;
  byTestId('queue-progress', HTMLProgressElement).value = 100 * queueFraction({ studies, queue });
  const line = byId('queue-text', HTMLParagraphElement);
  const text = queueText(studies, queue);
  if (line.textContent !== text) line.textContent = text;
  const left = byId('queue-left', HTMLParagraphElement);
  left.textContent = leftText(studies, queue);
  left.hidden = left.textContent === '';
  const running = runningStudy(studies) !== null;
  showButton('pause', queue.state === 'running', true);
  showButton('resume', queue.state === 'paused' || queue.state === 'pausing', true);
  showButton('skip', isActive(queue), running);
  showButton('stop', queue.state === 'pausing', running);
}

/** A sentence that changes only when a scan ends, because a screen reader reads it out. */
function queueText(studies: readonly Study[], queue: Queue): string {
  const { total, done, failed, skipped } = queueCounts({ studies, queue });
  const rest = [failed > 0 ? `${failed} failed` : '', skipped > 0 ? `${skipped} skipped` : ''].filter((part) => part !== '').join(', ');
  const counts = `${done} of ${total} done${rest === '' ? '' : `, ${rest}`}`;
  switch (queue.state) {
    case 'running':
      return `Segmenting with ${queue.model.name}: ${counts}.`;
    case 'pausing':
      return `Pausing after this scan: ${counts}.`;
    case 'paused':
      return `Paused: ${counts}.`;
    case 'finished':
      return `Queue finished: ${counts}.`;
  }
}

function leftText(studies: readonly Study[], queue: Queue): string {
  const running = runningStudy(studies);
  const seconds = queueSecondsLeft({ studies, queue });
  const left = !isActive(queue) || seconds === null ? '' : `about ${formatDuration(Math.ceil(seconds))} left`;
  return [running?.name ?? '', left].filter((part) => part !== '').join(' · ');
}

function showButton(testId: string, visible: boolean, enabled: boolean): void {
  const button = byTestId(testId, HTMLButtonElement);
  const hadFocus = document.activeElement === button;
  button.hidden = !visible;
  button.disabled = !enabled;
  // Pause and Resume take each other's place.
  if (hadFocus && !visible) byTestId(testId === 'pause' ? 'resume' : 'pause', HTMLButtonElement).focus();
}
