"""Pictures and pages for people."""

from recsys.reports.curve import DimensionCurve, DimensionPoint
from recsys.reports.dimensions import measure_dimensions, numbers_of_factors
from recsys.reports.drawing import require_drawing, save_drawing
from recsys.reports.tables import (
    comparison_table,
    dimension_table,
    metrics_table,
    slices_table,
    trials_table,
    unseen_table,
)
from recsys.reports.versions import versions_table
from recsys.reports.watching import checks_table, drift_table

__all__ = [
    "DimensionCurve",
    "DimensionPoint",
    "checks_table",
    "comparison_table",
    "dimension_table",
    "drift_table",
    "measure_dimensions",
    "metrics_table",
    "numbers_of_factors",
    "require_drawing",
    "save_drawing",
    "slices_table",
    "trials_table",
    "unseen_table",
    "versions_table",
]
