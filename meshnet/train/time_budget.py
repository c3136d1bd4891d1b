"""A run that ends after a number of seconds, on a learning-rate schedule that ends with it: `trainer.stop_after_s`."""

from __future__ import annotations

import time

from lightning.fabric import Fabric
from torch.optim.lr_scheduler import OneCycleLR


class TimeBudget:
    """Seconds of training that a run may take and has taken, over all calls that resumed it.

    seconds: 0 for no limit. The devices of a run share the first one's clock, so that all of them stop at one step.
    """

    def __init__(self, fabric: Fabric, seconds: float) -> None:
        self.seconds = seconds
        self._fabric = fabric
        self._before = 0.0
        self._began = time.monotonic()

    def begin(self, spent_s: float) -> None:
        """Start the clock of this call; spent_s: of the earlier calls."""
        self._before, self._began = spent_s, time.monotonic()

    def spent_s(self) -> float:
        """Seconds of training so far."""
        spent = self._before + time.monotonic() - self._began
        return float(self._fabric.broadcast(spent)) if self._fabric.world_size > 1 else spent

    def share(self) -> float:
        """The share of the time that has gone, 0 to 1; 0 without a limit."""
        return min(1.0, self.spent_s() / self.seconds) if self.seconds else 0.0


def step_schedule(schedule: OneCycleLR, step: int, steps: int, share: float) -> None:
    """Set the rate for the step after `step`, of `steps` in all.

    share: of the time that has gone. The schedule is at whichever is further, steps or time, so that it ends with the
    run. Without a limit this is `schedule.step()`.
    """
    if share:
        schedule.last_epoch = min(max(step, round(share * steps)), steps) - 1
    schedule.step()
