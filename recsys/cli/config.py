"""The command config: every setting with its default and meaning, or a config for a log.

The meaning of a setting is the docstring of its field in `recsys.settings`: the page of the docs is
what this command prints.
"""

import ast
import inspect
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

import recsys
from recsys.base.durable import replace_text, require_place
from recsys.base.feature_settings import KEYS, FeatureSettings
from recsys.cli.app import app
from recsys.cli.options import Items, LogOptions, takes_log, with_options
from recsys.cli.output import note
from recsys.cli.toml import toml_key, toml_value

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.logs import LogGuess

_WIDTH = 100
_EXAMPLES: dict[str, object] = {
    "data.items": "items.csv",
    "data.users": "users.csv",
    "data.cache": "cache",
    "log.sql": "select user_id, item_id, created_at as timestamp from views",
    "log.uri": "postgresql://ann@db.example/shop",
    "log.password_env": "SHOP_PASSWORD",
    "log.password_file": "shop.password",
    "log.query_minutes": 60.0,
    "log.watermark": "created_at",
    "log.row_key": "id",
    "log.min_value": 4.0,
    "log.max_disliked_value": 2.0,
    "log.missing_value": 1.0,
    "log.session_gap_minutes": 30.0,
    "log.since": "2025-01-01",
    "log.until": "2026-01-01",
    "log.half_life_days": 90.0,
    "auto.minutes": 10.0,
    "index.head_share": 0.5,
    "tune.minutes": 20.0,
    "compare.models": ["als", "svd", "popularity"],
    "compare.baseline": "popularity",
    "nightly.store": "store",
    "nightly.warm_iterations": 5,
    "nightly.log_file": "nightly.jsonl",
    "nightly.metrics_file": "recsys.prom",
    "nightly.mlflow": "http://127.0.0.1:5000",
    "events.database": "postgresql://recsys@db.example/recsys",
    "service.keys": "keys.jsonl",
    "service.telemetry": "http://localhost:4318",
    "service.max_per_second": 100.0,
    "rules.repeat": 0.2,
    "rules.sold_out": "sold_out.txt",
    "rules.new_items": {"share": 0.1},
    "service.refresh_minutes": 10.0,
    "service.tls_certificate": "certificate.pem",
    "service.tls_key": "key.pem",
    "service.where_columns": ["category", "price"],
    "spark.checkpoint": "checkpoint",
}
"""What stands behind a "#" where there is no default."""


@app.command("config")
@takes_log
def config_command(
    options: LogOptions,
    items: Items = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write it to this file.")] = None,
) -> None:
    """Print every setting with its default and meaning, or a config for LOG, columns guessed."""
    if out is not None:
        require_place(out, "config: expected to write settings")
    if options.logs or items or options.sql:
        found = options.guessed(items, options.tables())
        text = config_for(found.settings, found.log, Path() if out is None else out.parent)
        if found.log is not None and not found.log.table:
            for one in found.log.sentences:
                note(with_options(f"{' '.join(options.logs or ())}: {one}"))
    else:
        text = all_settings(recsys.config.settings_from(options.tables()))
    if out is None:
        typer.echo(text)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_text(out, text)
    note(f"written to {out}: recsys train --config {out}")


def all_settings(settings: "Settings | None" = None) -> str:
    """Return every table and key with its value and meaning, as TOML."""
    settings = recsys.Settings() if settings is None else settings
    parts = [
        "\n".join(_model(settings) if one.name == "model" else _table(one.name, table))
        for one in recsys.config.TABLES
        for table in [getattr(settings, one.name)]
    ]
    engine = _comment(meanings_of(type(settings))["engine"])
    return "\n\n".join(["\n".join([*engine, f"engine = {toml_value(settings.engine)}"]), *parts])


def _table(name: str, table: Any) -> Iterator[str]:
    yield f"[{name}]"
    meanings = meanings_of(type(table))
    hints = get_type_hints(type(table))
    for one in fields(table):
        key, value = f"{name}.{one.name}", getattr(table, one.name)
        yield from _comment(_with_choices(meanings.get(one.name, ""), hints[one.name]))
        if value is None:
            yield f"# {one.name} = {toml_value(_EXAMPLES[key])}"
        else:
            yield f"{one.name} = {toml_value(recsys.config.plain_setting(value))}"


def _model(settings: "Settings") -> Iterator[str]:
    yield "[model]"
    yield from _comment(
        "Its name; auto chooses one. One that is named has its hyperparameters here:"
    )
    for name, model in recsys.models.MODELS.items():
        values = ", ".join(
            f"{one.name}={toml_value(one.default)}"
            for one in fields(model)
            if one.default is not MISSING and one.default is not None
        )
        if values:
            yield from _comment(f"{name}: {values}", indent="  ")
    chosen = settings.model
    yield f"name = {toml_value(recsys.config.AUTO if chosen is None else chosen.name)}"
    if chosen is not None:
        for key, value in recsys.models.parameters_of(chosen).items():
            yield f"{key} = {toml_value(value)}"
    meanings, said = meanings_of(FeatureSettings), settings.features.to_dict()
    for name, key in KEYS.items():
        yield from _comment(meanings[name])
        yield f"{key} = {toml_value(said.get(key, []))}"


def _comment(text: str, indent: str = "") -> list[str]:
    lines = textwrap.wrap(text, _WIDTH - 2 - len(indent), break_on_hyphens=False)
    return [f"# {indent if number == 0 else indent * 2}{line}" for number, line in enumerate(lines)]


def _with_choices(meaning: str, hint: Any) -> str:
    """Add the words that a setting can be, where its meaning does not have them all."""
    choices = [one for one in get_args(hint) if isinstance(one, str)]
    if not choices or all(re.search(rf"\b{re.escape(one)}\b", meaning) for one in choices):
        return meaning
    return f"{meaning} One of {', '.join(map(toml_value, choices))}.".strip()


def meanings_of(settings: type) -> Mapping[str, str]:
    """Return the docstring of each field of a dataclass; fields in a row can have one together."""
    found: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        if not is_dataclass(kind):
            continue
        (tree,) = ast.parse(inspect.getsource(kind)).body
        waiting: list[str] = []
        for node in getattr(tree, "body", ()):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                waiting.append(node.target.id)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and waiting:
                text = re.sub(r"\s+", " ", str(node.value.value)).replace("``", '"').strip()
                found[waiting[0]] = text.replace("`", "")
                waiting = []
    return found


def config_for(settings: "Settings", guess: "LogGuess | None", folder: Path) -> str:
    """Return a config for a log: what differs from the defaults, other readings as comments."""
    tables = recsys.config.changed_tables(settings)
    engine = tables.pop("engine", None)
    data = tables.setdefault("data", {})
    for key in {"log", "test", "items", "cache"} & set(data):
        data[key] = _from(folder, data[key])
    lines = ["[data]", *_pairs(data)]
    if "items" not in data:
        lines.append('# items = "items.csv"  # titles, categories: shown in lists')
    lines += ["", "[log]"]
    if guess is not None and guess.columns:
        lines += _comment(f"It has the columns {', '.join(guess.columns)}.")
        lines += [line for one in guess.sentences for line in _comment(f"{one}.")]
    lines += _pairs(tables.get("log", {}))
    if guess is not None:
        for one in guess.proposals:
            other = one.added_to(guess.table)
            changed = {key: one for key, one in other.items() if one != guess.table.get(key)}
            lines += _comment(f"Or {one.sentence}:")
            lines += [f"# {pair}" for pair in _pairs(changed)]
    for name in ("model", "evaluation"):
        tables.setdefault(name, {})
    tables["model"].setdefault("name", recsys.config.AUTO)
    tables["evaluation"] = {
        "split": settings.evaluation.split,
        "k": settings.evaluation.k,
        **tables["evaluation"],
    }
    for name, table in tables.items():
        if name not in ("data", "log"):
            lines += ["", f"[{name}]", *_pairs(table)]
    top = [] if engine is None else [f"engine = {toml_value(engine)}", ""]
    return "\n".join(["# `recsys config` prints every other setting.", "", *top, *lines])


def _from(folder: Path, paths: Any) -> Any:
    """Return paths as they are from a folder."""
    if isinstance(paths, list | tuple):
        return [_from(folder, one) for one in paths]
    return os.path.relpath(paths, folder) if folder != Path() else paths


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{toml_key(key)} = {toml_value(one)}" for key, one in table.items()]
