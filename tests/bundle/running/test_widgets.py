"""Sliders where somebody looks, none in a batch run."""

import ipywidgets
import psutil
import pytest

from hetlib_bundle.running.widgets import interact


class Parent:
    """A process that started this one."""

    def __init__(self, *command: str) -> None:
        self.command = command

    def cmdline(self) -> list[str]:
        return list(self.command)


def started_by(monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
    monkeypatch.delenv("HETLIB_BATCH", raising=False)
    monkeypatch.setattr(psutil.Process, "parent", lambda _: Parent(*command))


@pytest.mark.parametrize(
    "command", [("python", "/bin/papermill", "a.ipynb"), ("jupyter-nbconvert", "--execute")]
)
def test_nothing_is_drawn_under_a_batch_tool(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    started_by(monkeypatch, *command)
    drawn: list[int] = []
    interact(n=(1, 3))(drawn.append)
    assert drawn == []


def test_nothing_is_drawn_by_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HETLIB_BATCH", "1")
    drawn: list[int] = []
    interact(n=(1, 3))(drawn.append)
    assert drawn == []


def test_sliders_under_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    started_by(monkeypatch, "jupyter-lab")
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(ipywidgets.widgets.interaction, "display", shown.append)

    def draw(n: int = 2, k: int = 1) -> tuple[int, int]:
        return (n, k)

    shows = interact({"n": "local batch (samples)"}, n=(1, 3), k=[1, 5])
    widget = shows(draw).widget  # type: ignore[attr-defined]
    slider = widget.children[0]
    choice = widget.children[1]
    assert isinstance(slider, ipywidgets.IntSlider)
    assert slider.description == "local batch (samples)"
    assert choice.description == "k"
    slider.value = 3
    choice.value = 5
    assert shown == [(2, 1), (3, 1), (3, 5)]  # what the function returns, and again at each move
