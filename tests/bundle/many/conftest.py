"""The made-up recipe is known to every test of this folder."""

import pytest

from tests.bundle.many.made import add_recipes


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    add_recipes(monkeypatch)
