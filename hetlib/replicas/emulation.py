"""A slow replica on a fast machine: the extra time is spent where the computing is.

A replica with slow-down ``f`` needs ``f`` times its own compute time. The extra ``(f - 1)`` times
is slept in a few pieces within the forward and the backward pass, so that a gradient bucket becomes
ready about as late as on a slow device and its all-reduce overlaps as there. Waits and transfers
are not stretched: the clock is the thread's CPU time.

Pauses cool the caches and slow the computing, by up to 20 % at ``f = 8``. So now and then a step
pays all at its end, which shows the undisturbed compute time, and the other steps are charged for
that instead of their own.
"""

import time
from collections import defaultdict, deque
from statistics import median

import torch
from torch import nn
from torch.autograd.variable import Variable

_PIECES = 4  # pauses a pass: enough for overlap, few enough to keep the caches warm


_REFERENCE_EVERY = 8  # steps


_WARM_UP = 3  # steps


class SlowDown:
    """Stretches compute time by ``factor``: ``start("forward", n)``, compute, ``settle()``; then ``"backward"``."""

    def __init__(self, factor: float, model: nn.Module) -> None:
        self.factor = factor
        self._debt = 0.0  # seconds still to be slept; negative after a sleep that took too long
        self._piece = 0.0  # seconds of debt that are worth a pause
        self._spent: dict[tuple[str, int, bool], deque[float]] = defaultdict(
            lambda: deque(maxlen=5)
        )
        self._steps: dict[tuple[str, int], int] = defaultdict(int)
        self._active = False
        # leaf modules and parameters mark the points at which the extra time is spent
        if factor > 1:
            for module in (m for m in model.modules() if not any(m.children())):
                module.register_forward_hook(lambda *_: self._pay())
            for parameter in (p for p in model.parameters() if p.requires_grad):
                parameter.register_post_accumulate_grad_hook(lambda _: self._pay())

    def start(self, stretch: str, samples: int) -> None:
        """Begin a stretch of compute on ``samples`` samples; what came before it is not charged."""
        key = self._key = (stretch, samples)
        step = self._steps[key]
        self._reference = step < _WARM_UP or step % _REFERENCE_EVERY == 0
        undisturbed, disturbed = self._spent[*key, True], self._spent[*key, False]
        known = undisturbed and disturbed and not self._reference
        ratio = min(1.0, median(undisturbed) / median(disturbed)) if known else 1.0
        self._rate = max(self.factor * ratio - 1, 0.0)
        last = median(disturbed or undisturbed or [0.0])
        self._piece = float("inf") if self._reference else self._rate * last / _PIECES
        self._own, self._mark, self._active = 0.0, time.thread_time(), True

    def settle(self) -> None:
        """End the stretch: sleep all that is owed."""
        if not self._active:
            return
        # A pause here would cool the caches for the backward pass, and its reference would not be
        # undisturbed.
        self._pay(float("inf") if self._reference and self._key[0] == "forward" else 0.0)
        self._active = False
        # the very first step also allocates memory
        if self._steps[self._key] >= 1 or not self._reference:
            self._spent[*self._key, self._reference].append(self._own)
        self._steps[self._key] += 1

    def _pay(self, piece: float | None = None) -> None:
        if not self._active:
            return
        spent = time.thread_time() - self._mark
        self._own += spent
        self._debt += self._rate * spent
        if self._debt > (self._piece if piece is None else piece):
            begin = time.perf_counter()
            time.sleep(self._debt)
            self._debt -= time.perf_counter() - begin
        self._mark = time.thread_time()


class Stopwatch:
    """Time stamps of one training step of a replica, in seconds of `time.perf_counter`.

    Args:
        slow: The replica's emulation; what it owes is paid before a settled stamp is taken.
        device: Where the replica computes; a GPU is waited for.
    """

    def __init__(self, slow: SlowDown, device: torch.device) -> None:
        self.stamps: list[float] = []
        self._slow = slow
        self._device = device

    def stamp(self) -> None:
        """Note the time now."""
        self.stamps.append(time.perf_counter())

    def settled(self) -> None:
        """Note the time at which all that was begun is computed and paid for."""
        self._slow.settle()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.stamp()

    def stamp_when_computed(self, loss: torch.Tensor) -> None:
        """Note the end of the backward pass of ``loss``, before DDP waits for the others.

        The callback is queued when the pass begins, so before DDP's own, which waits for the
        other replicas' gradients.
        """
        engine = Variable._execution_engine
        loss.register_hook(lambda _: engine.queue_callback(self.settled))
