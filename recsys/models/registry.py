"""Models by name, and their hyperparameters as a config and a manifest spell them."""

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any, ClassVar, Protocol, TypeVar, cast

from recsys.base.checks import require
from recsys.base.errors import ConfigError, did_you_mean
from recsys.models.als import ALS
from recsys.models.blend import Blend
from recsys.models.distilled import Distilled
from recsys.models.distilled.teacher import Given
from recsys.models.ease import EASE
from recsys.models.item2vec import Item2Vec
from recsys.models.neighbors import KNN
from recsys.models.popularity import Popularity
from recsys.models.protocol import Model
from recsys.models.requirements import without_vectors
from recsys.models.softmax import Softmax
from recsys.models.svd import SVD


class Named(Protocol):
    """A dataclass of hyperparameters that has a name: a model, or a baseline."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    name: ClassVar[str]


MODELS: Mapping[str, type[ALS | SVD | Item2Vec | Softmax | Distilled | Blend | Popularity]] = {
    model.name: model for model in (ALS, SVD, Item2Vec, Softmax, Distilled, Blend, Popularity)
}
"""The models by the name that they have in a config."""

SCORERS: Mapping[str, type[KNN | EASE]] = {scorer.name: scorer for scorer in (KNN, EASE)}
"""What scores items from a history, by name: no models, as they have no vectors."""

TEACHERS: Mapping[str, type[Named]] = {**MODELS, **SCORERS, Given.name: Given}
"""What can be a hyperparameter of a model, by name."""

_Kind = TypeVar("_Kind", bound=Named)


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
    if name in SCORERS:
        raise without_vectors("model", name)
    require("model", name, one_of=MODELS)
    return made_from(MODELS[name], parameters)


def made_from(kind: type[_Kind], parameters: Mapping[str, Any]) -> _Kind:
    """Return a model, scorer or baseline with those hyperparameters; see `model_from`."""
    known = [field.name for field in fields(kind)]
    for parameter in parameters:
        if parameter not in known:
            raise ConfigError(
                f"model: {kind.name} has no hyperparameter {parameter!r}, only "
                f"{', '.join(known) or 'none'}{did_you_mean(parameter, known)}"
            )
    made: dict[str, Any] = {
        key: made_from(*inner_model(f"{kind.name}.{key}", value))
        if isinstance(value, Mapping)
        else value
        for key, value in parameters.items()
    }
    return kind(**made)


def inner_model(place: str, parameters: Mapping[str, Any]) -> tuple[type[Named], dict[str, Any]]:
    """Return the kind of a model that is a hyperparameter, and its own hyperparameters.

    Its name is given, or that of the hyperparameter.
    """
    rest = dict(parameters)
    name = rest.pop("name", place.rpartition(".")[2])
    require(f"{place}.name", name, one_of=TEACHERS)
    return TEACHERS[name], rest


def parameters_of(model: Named) -> dict[str, Any]:
    """Return the hyperparameters of a model by name; those of a model within it are a mapping.

    It holds the name of that model where the hyperparameter does not say it.
    """
    return {
        one.name: _plain(one.name, getattr(model, one.name))
        for one in fields(model)
        if one.metadata.get("is_hyperparameter", True)
    }


def _plain(key: str, value: Any) -> Any:
    if not is_dataclass(value):
        return value
    model = cast(Named, value)
    named = {} if model.name == key else {"name": model.name}
    return {**named, **parameters_of(model)}


def has_factors(model: Named) -> bool:
    """Tell whether the dimension of a model's embeddings can be chosen."""
    return bool(ending_in("factors", flat(parameters_of(model))))


def ending_in(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat hyperparameters of that name, such as "factors" and "als.factors"."""
    return {key: value for key, value in parameters.items() if key.rpartition(".")[2] == name}


def flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with a dot for each level."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": one for inner, one in flat(value).items()}
        else:
            found[name] = value
    return found


def nested(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with a mapping for each level: what `flat` undoes."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        outer, _, inner = name.partition(".")
        if inner:
            found.setdefault(outer, {})[inner] = value
        else:
            found[name] = value
    return {
        name: nested(value) if isinstance(value, dict) else value for name, value in found.items()
    }
