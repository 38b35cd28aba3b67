"""What a model is asked for, where it is taken: a `fit`, vectors, and what it makes of dislikes."""

import scipy.sparse as sp

from recsys.base.errors import ConfigError
from recsys.base.signed import liked


def require_fit(what: str, model: object) -> None:
    """Raise a ConfigError if something is neither a model nor a scorer."""
    if isinstance(model, type) or not callable(getattr(model, "fit", None)):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ConfigError(f"{what}: expected a model such as recsys.ALS(), got {got}")


def require_model(what: str, model: object) -> None:
    """Raise a ConfigError if something is no model, or has no vectors."""
    require_fit(what, model)
    if not hasattr(model, "fold_in"):
        raise without_vectors(what, getattr(model, "name", type(model).__name__))


def without_vectors(what: str, name: str) -> ConfigError:
    """Return the error that a scorer stands where a model is needed."""
    return ConfigError(
        f"{what}: expected a model with vectors, which can be published, got {name}, which has "
        f'none; distil it: [model] name = "distilled", teacher = {{ name = "{name}" }}, or '
        f"recsys.Distilled(teacher=...)"
    )


def takes_dislikes(model: object) -> bool:
    """Tell whether a model learns from dislikes, and folds them in."""
    return bool(getattr(model, "takes_dislikes", False))


def learns_dislikes(model: object) -> bool:
    """Tell whether a model learns from dislikes, if only from a teacher who does."""
    return takes_dislikes(model) or bool(getattr(model, "learns_dislikes", False))


def as_taken(model: object, histories: sp.csr_array) -> sp.csr_array:
    """Return histories as a model folds them in: without dislikes where it does not take them."""
    return histories if takes_dislikes(model) else liked(histories)
