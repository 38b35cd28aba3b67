from .curve import DimensionCurve, DimensionPoint
from .dimensions import measure_dimensions, numbers_of_factors
from .drawing import require_drawing, save_drawing
from .tables import (
    comparison_table,
    dimension_table,
    metrics_table,
    slices_table,
    trials_table,
    unseen_table,
)
from .versions import versions_table
from .watching import checks_table, drift_table

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
