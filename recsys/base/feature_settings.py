"""Which columns of the tables of items and users a model knows, and their kinds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recsys.base.errors import ConfigError, briefly

AUTO_KIND = "auto"
KEYS = {"items": "item_features", "users": "user_features"}
"""The fields of `FeatureSettings`, and the keys of ``[model]`` that have them."""


@dataclass(frozen=True)
class FeatureSettings:
    """What a model knows of items and users beside the log; keys of the ``[model]`` table."""

    items: Mapping[str, str] = field(default_factory=dict)
    """Columns of the table of items (data.items) as features, such as ["category", "price"]; or
    each with its kind, such as { price = "number" }: auto, category, list, text, number, quantiles,
    vector."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Likewise columns of the table of users (data.users)."""

    def __post_init__(self) -> None:
        for name, key in KEYS.items():
            object.__setattr__(self, name, _columns(f"model.{key}", getattr(self, name)))

    def __bool__(self) -> bool:
        return bool(self.items or self.users)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of ``[model]`` that say it: lists, where no kind is said."""
        found = {}
        for name, key in KEYS.items():
            columns = getattr(self, name)
            if columns:
                is_plain = set(columns.values()) == {AUTO_KIND}
                found[key] = list(columns) if is_plain else dict(columns)
        return found

    def changed(self, model: Any) -> tuple["FeatureSettings", Any]:
        """Return these with the keys that a table of a model has, and the table without them."""
        if not isinstance(model, Mapping):
            return self, model
        given = {name: model[key] for name, key in KEYS.items() if key in model}
        rest = {key: value for key, value in model.items() if key not in KEYS.values()}
        return FeatureSettings(**{**vars(self), **given}), rest


def feature_keys(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a table ``[model]`` says of features, which another model keeps."""
    return {key: model[key] for key in KEYS.values() if key in model}


def _columns(place: str, given: Any) -> dict[str, str]:
    """Return columns with their kinds, given as one name, names, or a mapping."""
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, Mapping):
        given = dict.fromkeys(given if isinstance(given, list | tuple) else [None], AUTO_KIND)
    if not all(isinstance(one, str) and one for pair in given.items() for one in pair):
        raise ConfigError(
            f'{place}: expected names of columns, such as ["category", "price"], or a table of '
            f'their kinds, such as {{ price = "number" }}, got {briefly(given)}'
        )
    return dict(given)
