/** Slot numbers: `take` hands out the slot that was given back last, or a new one; `size` is the most slots in use at once. */
export class Slots {
  size = 0;
  private readonly free: number[] = [];

  take(): number {
    return this.free.pop() ?? this.size++;
  }

  give(slot: number): void {
    this.free.push(slot);
  }
}
