"""A slow replica on a fast machine: the extra time is spent where the computing is.

A replica with slow-down ``f`` needs ``f`` times its own compute time. The extra ``(f - 1)`` times
is slept in a few pieces within the forward and the backward pass, so that a gradient bucket becomes
ready about as late as on a slow device and its all-reduce overlaps as there. Waits and transfers
are not stretched: the clock is the thread's CPU time.

Pauses cool the caches and slow the computing, by up to 20 % at ``f = 8``. So now and then a step
pays all at its end, which shows the undisturbed compute time, and the other steps are charged for
that instead of their own.
"""

import math
import time
from collections import defaultdict, deque
from statistics import median
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.variable import Variable

_PIECES = 4  # pauses a pass: enough for overlap, few enough to keep the caches warm
_REFERENCE_EVERY = 8  # steps
_WARM_UP = 3  # steps
_REMEMBERED = 5  # compute times of a kind: their median follows a change within three


class _Stretch(NamedTuple):
    """A part of a step with so many samples; those of one kind take about as long."""

    name: str
    samples: int


class _Spent:
    """The latest compute times of one kind of stretch, in seconds."""

    def __init__(self) -> None:
        self.steps = 0
        self.undisturbed: deque[float] = deque(maxlen=_REMEMBERED)
        self.disturbed: deque[float] = deque(maxlen=_REMEMBERED)

    def ratio(self) -> float:
        """Return undisturbed over disturbed compute time, at most 1; 1 while one is unknown."""
        if not self.undisturbed or not self.disturbed:
            return 1.0
        return min(1.0, median(self.undisturbed) / median(self.disturbed))

    def last(self) -> float:
        """Return the usual compute time, with pauses if such a time is known; 0 at first."""
        return median(self.disturbed or self.undisturbed or [0.0])


class SlowDown:
    """Stretches compute time by a factor.

    ``start("forward", n)``, compute, ``settle()``; then the same with ``"backward"``.

    Args:
        factor: Compute time over the device's own, at least 1. It may change between stretches,
            but a model that begins with 1 is never paused within.
        model: The leaf modules and parameters mark the points at which extra time is spent.
    """

    def __init__(self, factor: float, model: nn.Module) -> None:
        self.factor = factor
        self._debt = 0.0  # seconds still to be slept; negative after a sleep that took too long
        self._piece = 0.0  # seconds of debt that are worth a pause
        self._rate = 0.0  # seconds of debt for a second of computing
        self._own = 0.0  # seconds that this stretch has computed
        self._mark = 0.0  # the thread's CPU time up to which they are counted
        self._reference = False  # whether this stretch pays at its end only
        self._active = False
        self._spent: dict[_Stretch, _Spent] = defaultdict(_Spent)
        if factor > 1:
            self._hook(model)

    def start(self, stretch: str, samples: int) -> None:
        """Begin a stretch of compute; what came before it is not charged.

        Args:
            stretch: ``"forward"``, ``"backward"`` or ``"update"``.
            samples: How many go through.
        """
        self._key = _Stretch(stretch, samples)
        spent = self._spent[self._key]
        self._reference = spent.steps < _WARM_UP or spent.steps % _REFERENCE_EVERY == 0
        ratio = 1.0 if self._reference else spent.ratio()
        self._rate = max(self.factor * ratio - 1, 0.0)
        if self._reference:
            self._piece = math.inf
        else:
            self._piece = self._rate * spent.last() / _PIECES
        self._own = 0.0
        self._active = True
        self._mark = time.thread_time()

    def settle(self) -> None:
        """End the stretch: sleep all that is owed."""
        if not self._active:
            return
        # A pause here would cool the caches for the backward pass, and its reference would not be
        # undisturbed.
        postponed = self._reference and self._key.name == "forward"
        self._pay(math.inf if postponed else 0.0)
        self._active = False
        self._remember()

    def _hook(self, model: nn.Module) -> None:
        for module in model.modules():
            is_leaf = not any(module.children())
            if is_leaf:
                module.register_forward_hook(lambda *_: self._pay_piece())
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda _: self._pay_piece())

    def _remember(self) -> None:
        spent = self._spent[self._key]
        # the very first step also allocates memory
        if spent.steps >= 1:
            times = spent.undisturbed if self._reference else spent.disturbed
            times.append(self._own)
        spent.steps += 1

    def _pay_piece(self) -> None:
        if self._active:
            self._pay(self._piece)

    def _pay(self, allowed: float) -> None:
        """Charge for the computing since the last call, and sleep if more is owed than allowed."""
        spent = time.thread_time() - self._mark
        self._own += spent
        self._debt += self._rate * spent
        if self._debt > allowed:
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
            # not all streams of the GPU: on one of NCCL's an exchange waits for the slowest replica
            torch.cuda.current_stream(self._device).synchronize()
        self.stamp()

    def stamp_when_computed(self, loss: torch.Tensor) -> None:
        """Note the end of the backward pass of ``loss``, before DDP waits for the others.

        The callback is queued when the pass begins, so before DDP's own, which waits for the
        other replicas' gradients.
        """
        engine = Variable._execution_engine
        loss.register_hook(lambda _: engine.queue_callback(self.settled))
