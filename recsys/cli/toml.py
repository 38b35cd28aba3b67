"""Values as TOML spells them."""

import json
import re
from collections.abc import Mapping
from typing import Any


def toml_value(value: Any) -> str:
    """Return a value as TOML spells it, in one line.

    Examples
    --------
    >>> toml_value({"view": 1.0, "buy now": [True, "a"]})
    '{ view = 1.0, "buy now" = [true, "a"] }'
    """
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(key)} = {toml_value(one)}" for key, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)  # texts, numbers and flags are those of JSON


def toml_key(key: str) -> str:
    """Return a key as TOML spells it: in quotes where it is not of letters and digits."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
