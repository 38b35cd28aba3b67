"""Models by name, as a config and a manifest spell them."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from recsys.base.errors import ConfigError, did_you_mean
from recsys.models.als import ALS
from recsys.models.blend import Blend
from recsys.models.item2vec import Item2Vec
from recsys.models.popularity import Popularity
from recsys.models.protocol import Model
from recsys.models.softmax import Softmax
from recsys.models.svd import SVD

MODELS: Mapping[str, type[ALS | SVD | Item2Vec | Softmax | Blend | Popularity]] = {
    model.name: model for model in (ALS, SVD, Item2Vec, Softmax, Blend, Popularity)
}


def model_from(name: str, parameters: Mapping[str, Any]) -> Model:
    """Return the model of that name with those hyperparameters.

    A hyperparameter that is a model itself has its name, and is a mapping.

    Raises
    ------
    ConfigError
        If there is no such model, or it has no such hyperparameter, or a value is out of range.

    Examples
    --------
    >>> model_from("als", {"factors": 8}).factors
    8
    """
    if name not in MODELS:
        raise ConfigError(f"model: expected one of {', '.join(MODELS)}, got {name!r}")
    known = [field.name for field in fields(MODELS[name])]
    for parameter in parameters:
        if parameter not in known:
            raise ConfigError(
                f"model: {name} has no hyperparameter {parameter!r}, only "
                f"{', '.join(known) or 'none'}{did_you_mean(parameter, known)}"
            )
    made: dict[str, Any] = {
        key: model_from(key, value) if isinstance(value, Mapping) else value
        for key, value in parameters.items()
    }
    return MODELS[name](**made)


def parameters_of(model: Model) -> dict[str, Any]:
    """Return the hyperparameters of a model by name."""
    return asdict(model)  # type: ignore[call-overload,no-any-return]
