"""Sliders where somebody looks, none in a batch run."""

import ipywidgets
import psutil
import pytest

from hetlib_bundle.running.widgets import interact


class Parent:
    def __init__(self, *command):
        self.command = command

    def cmdline(self):
        return list(self.command)


@pytest.mark.parametrize(
    "command", [("python", "/bin/papermill", "a.ipynb"), ("jupyter-nbconvert", "--execute")]
)
def test_nothing_is_drawn_under_a_batch_tool(monkeypatch, command):
    monkeypatch.delenv("HETLIB_BATCH", raising=False)
    monkeypatch.setattr(psutil.Process, "parent", lambda _: Parent(*command))
    drawn = []
    interact(n=(1, 3))(drawn.append)
    assert drawn == []


def test_nothing_is_drawn_by_the_bundle(monkeypatch):
    monkeypatch.setenv("HETLIB_BATCH", "1")
    drawn = []
    interact(n=(1, 3))(drawn.append)
    assert drawn == []


def test_sliders_under_jupyter(monkeypatch):
    monkeypatch.delenv("HETLIB_BATCH", raising=False)
    monkeypatch.setattr(psutil.Process, "parent", lambda _: Parent("jupyter-lab"))
    shown = []
    monkeypatch.setattr(ipywidgets.widgets.interaction, "display", shown.append)

    def draw(n=2, k=1):
        return (n, k)

    widget = interact({"n": "local batch (samples)"}, n=(1, 3), k=[1, 5])(draw).widget
    slider, choice = widget.children[:2]
    assert isinstance(slider, ipywidgets.IntSlider)
    assert (slider.description, choice.description) == ("local batch (samples)", "k")
    slider.value, choice.value = 3, 5
    assert shown == [(2, 1), (3, 1), (3, 5)]  # what the function returns, and again at each move
