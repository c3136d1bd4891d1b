// Segment all, and while a queue exists its progress with Pause, Resume, Skip and Stop.
import { isActive, queueCounts, queueFraction, queueSecondsLeft, runningStudy } from '../queue';
import type { Queue } from '../queue';
import type { Study } from '../studies';
import { read, t } from '../texts/language';
import { say } from '../texts/message';
import { byId, byTestId } from './dom';
import { formatDuration } from './format';

/** `due`: number of scans that Segment all would run; it needs no button for the one scan that is shown. */
export function showSegmentAll(due: number, listed: number, enabled: boolean): void {
  const button = byTestId('run-all', HTMLButtonElement);
  button.hidden = listed < 2;
  button.disabled = !enabled || due === 0;
  button.textContent = due === 0 ? t('queue.all') : t('queue.allCount', { n: due });
  button.title = t('queue.allTitle');
}

export function showQueue(studies: readonly Study[], queue: Queue | null): void {
  const panel = byTestId('queue', HTMLElement);
  panel.hidden = queue === null || queue.ids.length === 0;
  if (queue === null) return;
  // The button that starts the queue is far below the list that shows it.
  if (queue.state === 'running' && panel.dataset.state !== 'running' && panel.dataset.state !== 'pausing') byId('study-list', HTMLDivElement).scrollIntoView({ block: 'nearest' });
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
  const parts = [say('queue.done', { done, total }), ...(failed > 0 ? [say('queue.failed', { n: failed })] : []), ...(skipped > 0 ? [say('queue.skipped', { n: skipped })] : [])];
  const counts = parts.map(read).join(', ');
  return queue.state === 'running' ? t('queue.running', { model: queue.model.name, counts }) : t(`queue.${queue.state}`, { counts });
}

function leftText(studies: readonly Study[], queue: Queue): string {
  const running = runningStudy(studies);
  const seconds = queueSecondsLeft({ studies, queue });
  const left = !isActive(queue) || seconds === null ? '' : t('run.left', { duration: formatDuration(Math.ceil(seconds)) });
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
