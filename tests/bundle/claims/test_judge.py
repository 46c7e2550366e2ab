"""Claims judged from their values: the word, and the fewest values that it needs."""

import pandas as pd
import pytest

from hetlib_bundle import claims
from tests.bundle.claims.made import claim


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([-5.0, -6.0, -5.5], "supported"),
        ([-5.0, -6.0], "underpowered"),  # clear, but fewer than 3 values
        ([0.1, 0.2, 0.15], "not supported"),
        ([0.1, 0.15], "underpowered"),
        ([-9.0, 3.0, -5.0], "underpowered"),
    ],
)
def test_words(values: list[float], word: str) -> None:
    cell = {"dataset": "wake", "model": "smallcnn", "setting": ""}
    found = pd.DataFrame({**cell, "seed": range(len(values)), "value": values})
    assert claims.judge(claim(), found).word.tolist() == [word]
