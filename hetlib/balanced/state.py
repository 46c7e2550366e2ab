"""The state of a training's position: what it holds, and whether it belongs to this training."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hetlib.balanced.dealing import Position
from hetlib.balanced.schedule import Shares
from hetlib.containers import anything, items, mapping
from hetlib.inputs import MOST_SAMPLES, whole
from hetlib.plain import plain

_POSITION = ("shares", "plans", "epoch", "step")


class State(NamedTuple):
    """What a state says of a training.

    Attributes:
        position: The step that comes next.
        shares: Those that the training began with.
        plans: The first step of each plan, counted over all epochs, and its shares, in order.
    """

    position: Position
    shares: Shares
    plans: list[tuple[int, Shares]]

    def to_dict(self, belongs_to: Mapping[str, Any]) -> dict[str, Any]:
        """Return plain values that `state_of` reads back.

        Args:
            belongs_to: What the position means nothing without.
        """
        return {
            **belongs_to,
            "shares": list(self.shares),
            "plans": [[start, list(shares)] for start, shares in self.plans],
            "epoch": self.position.epoch,
            "step": self.position.step,
        }


def state_of(state: object, own: Mapping[str, Any], steps: int) -> State:
    """Read a state, and see whether it belongs to a training.

    Args:
        state: What `State.to_dict` returned.
        own: What this training's positions mean nothing without.
        steps: Of an epoch of it.

    Raises:
        ValueError: It belongs to another training, or a field is missing or holds anything else;
            the message names the field.
    """
    fields = mapping("state", state)
    missing = sorted({*own, *_POSITION} - set(fields))
    if missing:
        raise ValueError(
            f"the state lacks {missing}; give the position that `state_dict` of a BalancedSampler "
            "or BalancedLoader returned."
        )
    for name, value in own.items():
        if not _is_same(fields[name], value):
            raise ValueError(
                f"the state has `{name}` {fields[name]!r}, but here it is {value!r}; "
                "a position fits the training alone that it comes from."
            )
    shares = items("state['shares']", fields["shares"], _share, low=1)
    plans = items("state['plans']", fields["plans"], _plan, low=1)
    _require_order(plans, shares, own["global_batch"])
    return State(_position(fields, steps), shares, list(plans))


def _is_same(there: object, here: object) -> bool:
    there = plain(there)
    return type(there) is type(here) and there == here


def _share(name: str, value: object) -> int:
    return whole(name, value, low=0, high=MOST_SAMPLES)


def _plan(name: str, value: object) -> tuple[int, Shares]:
    start, shares = items(name, value, anything, count=2)
    return whole(f"{name}[0]", start, low=0), items(f"{name}[1]", shares, _share)


def _require_order(plans: tuple[tuple[int, Shares], ...], shares: Shares, batch: int) -> None:
    """Refuse plans that are none of one training: of other batches, or not one after another."""
    replicas = len(shares)
    starts = [start for start, _ in plans]
    in_order = starts[0] == 0 and starts == sorted(set(starts))
    alike = all(len(plan) == replicas and sum(plan) == batch for _, plan in plans)
    if not in_order or not alike or sum(shares) != batch:
        raise ValueError(
            f"the state's `plans` are {list(plans)} and its `shares` {shares}; each plan must have "
            f"{replicas} shares with the sum {batch}, the first from step 0 on."
        )


def _position(fields: Mapping[str, Any], steps: int) -> Position:
    """Return the position in a state, one that an epoch of so many steps has."""
    epoch = whole("state['epoch']", fields["epoch"])
    step = whole("state['step']", fields["step"])
    if epoch < 0 or not 0 <= step < steps:
        raise ValueError(
            f"the state's position is step {step} of epoch {epoch}; an epoch has {steps} steps "
            "here."
        )
    return Position(epoch, step)
