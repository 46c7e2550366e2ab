"""The figure of fresh seeds shows each claim where its effects lie."""

import pandas as pd
import pytest

from hetlib_bundle.figures.fresh import fresh_figure

ABOUT = {"dataset": "made", "setting": "107/21", "verdict": "supported"}
CELLS = pd.DataFrame(
    [
        {**ABOUT, "claim": "Q3", "is": "above", "margin": 0.05, "low": 0.2, "high": 0.6},
        {**ABOUT, "claim": "Q4", "is": "below", "margin": 0.0, "low": -4.0, "high": -2.0},
        {**ABOUT, "claim": "Q5", "is": "within", "margin": 1.0, "low": -2.0, "high": -1.5},
    ]
).assign(effect=lambda cells: (cells.low + cells.high) / 2)


def test_axes_go_from_the_claim_to_the_effects_and_no_further() -> None:
    limits = {axes.get_xlabel()[:2]: axes.get_xlim() for axes in fresh_figure(CELLS).axes}
    assert limits["Q3"] == pytest.approx((0 - 0.048, 0.6 + 0.048))
    assert limits["Q4"] == pytest.approx((-4 - 0.32, 0 + 0.32))
    assert limits["Q5"] == pytest.approx((-2 - 0.24, 1 + 0.24))  # the claim's area to both sides
