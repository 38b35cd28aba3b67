"""The hyperparameters that a choice goes along, and how far at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recsys.base.errors import ConfigError
from recsys.tuning.candidates import Fittable


@dataclass(frozen=True)
class Step:
    """How far a hyperparameter goes at a time: a number is added, or it is a factor."""

    by: float
    is_factor: bool = False

    def moved(self, value: float, direction: int) -> float:
        """Return the next value up (1) or down (-1), of three digits."""
        value = value * self.by**direction if self.is_factor else value + self.by * direction
        if isinstance(value, int):
            return value
        return float(f"{value:.3g}") if abs(value) > 1e-9 else 0.0


Steps = Mapping[str, Step]
ALS_STEPS: Steps = {
    "regularization": Step(3.0, is_factor=True),
    "unobserved_weight": Step(2.0, is_factor=True),
    "weight_exponent": Step(0.5),
    "item_exponent": Step(0.25),
}
SVD_STEPS: Steps = {
    "item_exponent": Step(0.1),
    "weight_exponent": Step(0.25),
    "user_exponent": Step(0.15),
    "popularity_exponent": Step(0.1),
    "spectral_power": Step(0.3),
}
ORDER_STEPS: Steps = {"recency": Step(0.5), "window": Step(8)}
EASE_STEPS: Steps = {"regularization": Step(3.0, is_factor=True)}
KNN_STEPS: Steps = {"k1": Step(3.0, is_factor=True), "b": Step(0.3)}
DISTILLED_STEPS: Steps = {"temperature": Step(0.7, is_factor=True), "recency": Step(0.5)}


def moved(model: Any, name: str, step: Step, direction: int) -> Fittable | None:
    """Return the model with the next value of a hyperparameter; None if it does not take that."""
    try:
        moved: Fittable = replace(model, **{name: step.moved(getattr(model, name), direction)})
    except ConfigError:
        return None
    return moved
