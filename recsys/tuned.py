"""What a search found, as a config that `train` takes."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.evaluation.tuning import Tuned
from recsys.store.durable import replace_text


def write_tuned(path: str | Path, tuned: Tuned, config: str | Path | None = None) -> None:
    """Write a config with the hyperparameters that a search found.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    tuned : Tuned
    config : path, optional
        A config whose other tables are kept; its paths will still lead to the same files.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    import tomli_w

    path = Path(path)
    tables: dict[str, Any] = {}
    if config is not None:
        tables = tomllib.loads(Path(config).read_text(encoding="utf-8"))
        if "data" in tables:
            tables["data"] = _moved(tables["data"], Path(config).parent, path.parent)
    tables["model"] = {"name": tuned.best.candidate.name, **tuned.parameters}
    n_trials = sum(map(len, tuned.trials.values()))
    said = (
        f"# Found by a search: {tuned.metric} {tuned.best.value:.4f} on the validation part, "
        f"the best of {n_trials} trials.\n\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, said + tomli_w.dumps(tables).rstrip())


def _moved(data: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """Return the ``[data]`` table of a config that is written to another folder."""

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(part) for part in value]
        if not isinstance(value, str) or value.startswith(("$", "~")) or Path(value).is_absolute():
            return value
        return os.path.relpath(old / value, new)

    return {key: value if key == "item_columns" else moved(value) for key, value in data.items()}
