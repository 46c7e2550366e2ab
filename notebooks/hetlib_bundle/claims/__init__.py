"""The claims: registered before the runs, judged from what was recorded."""

from hetlib_bundle.claims.extract import column_values, values
from hetlib_bundle.claims.judge import (
    NO_CLAIM,
    judge,
    judge_records,
    judge_values,
    speaking,
    word_of_claim,
)
from hetlib_bundle.claims.quantities import QUANTITIES, measured_ideal, timed
from hetlib_bundle.claims.register import CELL, Claim, load
from hetlib_bundle.claims.report import collect, report, stored_records

__all__ = [
    "CELL",
    "NO_CLAIM",
    "QUANTITIES",
    "Claim",
    "collect",
    "column_values",
    "judge",
    "judge_records",
    "judge_values",
    "load",
    "measured_ideal",
    "report",
    "speaking",
    "stored_records",
    "timed",
    "values",
    "word_of_claim",
]
