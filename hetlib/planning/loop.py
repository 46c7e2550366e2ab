"""A training loop of one's own, watched: how long this replica computed in each step.

A step begins when the reduction of the one before is over, and its compute time ends where DDP
begins to wait for the others. Both moments are taken within the backward pass, by callbacks of
autograd, so the loop has no more to do than to say which loss it is.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import torch
import torch.distributed as dist
from torch.autograd.variable import Variable

from hetlib.balanced.schedule import Shares
from hetlib.planning.exchange import Exchange

# A moment: of this process, or of a GPU's stream.
Moment: TypeAlias = float | torch.cuda.Event

# Takes the shares that hold, and samples and seconds of some steps, ``(steps, replicas)``; returns
# new shares.
Decide: TypeAlias = Callable[[Shares, Sequence[Shares], Sequence[Sequence[float]]], Shares | None]


class RedealingLoader(Protocol):
    """What deals batches by shares that may change, such as a `hetlib.BalancedLoader`."""

    @property
    def shares(self) -> tuple[int, ...]:
        """Local batches of the plan that was set last."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Samples of each replica in the batch handed out last."""

    @property
    def epoch(self) -> int:
        """Its epoch."""

    @property
    def step(self) -> int:
        """Its step in the epoch."""

    def replan(
        self, plan: Any, step: int | None = None, *, group: dist.ProcessGroup | None = None
    ) -> None:
        """Deal by other shares from a step on, the same for all replicas of a group."""


class ComputeClock:
    """Seconds that this replica computes, without its wait for the others in a backward pass."""

    def __init__(self) -> None:
        """Begin before the first pass; the first one's begin is not known."""
        self.passes = 0  # backward passes that ended
        self._begin: Moment | None = None
        self._parts: list[tuple[Moment, Moment]] = []

    def watch(self, loss: torch.Tensor) -> None:
        """Time the next backward pass of a loss."""
        loss.register_hook(partial(self._begun, loss.device))  # type: ignore[no-untyped-call]

    def take(self) -> float | None:
        """Return the seconds since this was asked last; ``None`` where no pass was timed."""
        parts = self._parts
        self._parts = []
        if not parts:
            return None
        return sum(_seconds(begin, end) for begin, end in parts)

    def _begun(self, device: torch.device, gradient: torch.Tensor) -> None:
        # queued before DDP's own callback, which waits for the others
        Variable._execution_engine.queue_callback(partial(self._computed, device))

    def _computed(self, device: torch.device) -> None:
        if self._begin is not None:
            self._parts.append((self._begin, _now(device)))
        # and from within once more: behind DDP's
        Variable._execution_engine.queue_callback(partial(self._reduced, device))

    def _reduced(self, device: torch.device) -> None:
        self._begin = _now(device)
        self.passes += 1


def _now(device: torch.device) -> Moment:
    """Return this moment; of a GPU the one at which its stream arrives here, without a wait."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def _seconds(begin: Moment, end: Moment) -> float:
    """Return the seconds between two moments of one clock."""
    if isinstance(begin, float) and isinstance(end, float):
        return end - begin
    assert isinstance(begin, torch.cuda.Event)
    assert isinstance(end, torch.cuda.Event)
    end.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds / 1e3


class Loop:
    """Steps of one's own loop, told to all replicas; the loader deals anew where that pays.

    Args:
        loader: Deals the batches.
        replicas: How many there are, those without a share among them.
        active: Numbers of those that have one.
        decide: Takes what the active replicas did.
        group: Processes that train; ``None`` is all.
    """

    def __init__(
        self,
        loader: RedealingLoader,
        replicas: int,
        active: Sequence[int],
        decide: Decide,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """Begin before the first step."""
        self._loader = loader
        self._replicas = replicas
        self._active = active
        self._decide = decide
        self._group = group
        self._exchange = Exchange(replicas)
        self._clock = ComputeClock()
        self._at: tuple[int, int] | None = None  # epoch and step that are under way
        self._counts: Shares = ()  # of it

    def step(self, loss: torch.Tensor) -> Shares | None:
        """Note which loss goes backward next; see `Rebalancer.step`."""
        changed = None
        at = (self._loader.epoch, self._loader.step)
        if at != self._at:
            changed = self._end_of_step()
            self._at = at
            self._counts = tuple(self._loader.counts)
        self._clock.watch(loss)
        return changed

    def _end_of_step(self) -> Shares | None:
        """Tell the others of the step before; return new shares where all agree on some."""
        # once a pass was seen the calls are in their place, and a loop may leave one out
        if self._at is not None and not self._clock.passes:
            raise RuntimeError(
                "no backward pass followed `rebalancer.step(loss)`; call it right before "
                "loss.backward()."
            )
        seconds = self._clock.take()
        together = dist.is_initialized() and dist.get_world_size(self._group) > 1
        if seconds is None or not together:
            return None
        message = self._exchange.step(self._counts, seconds, self._group)
        if message is None:
            return None
        # the loader knows: a state may have been loaded, or its shares changed by hand
        changed = self._decide(
            self._of_active(self._loader.shares),
            [self._of_active(counts) for counts in message.counts],
            [self._of_active(seconds) for seconds in message.seconds],
        )
        if changed is None:
            return None
        shares = self._among_all(changed)
        self._loader.replan(shares, group=self._group)
        return shares

    def _among_all(self, shares: Shares) -> Shares:
        """Return the shares of all replicas, from those of the active ones."""
        among_all = [0] * self._replicas
        for replica, samples in zip(self._active, shares, strict=True):
            among_all[replica] = samples
        return tuple(among_all)

    def _of_active(self, values: Sequence[Any]) -> Any:
        """Return the entries of the replicas that have a share."""
        return tuple(values[replica] for replica in self._active)
