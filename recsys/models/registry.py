"""Models by name, as a config and a manifest spell them."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from recsys.errors import ConfigError, did_you_mean
from recsys.models.als import ALS
from recsys.models.item2vec import Item2Vec
from recsys.models.popularity import Popularity
from recsys.models.protocol import Model
from recsys.models.svd import SVD

MODELS: Mapping[str, type[ALS | SVD | Item2Vec | Popularity]] = {
    model.name: model for model in (ALS, SVD, Item2Vec, Popularity)
}


def model_from(name: str, parameters: Mapping[str, Any]) -> Model:
    """Return the model of that name with those hyperparameters.

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
    return MODELS[name](**parameters)


def parameters_of(model: Model) -> dict[str, Any]:
    """Return the hyperparameters of a model by name."""
    return asdict(model)  # type: ignore[call-overload,no-any-return]
