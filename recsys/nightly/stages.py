"""The stages of the night, in their order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recsys.nightly import from_log, to_version
from recsys.nightly.context import Facts, Material


@dataclass(frozen=True)
class Stage:
    """A stage of the night.

    Parameters
    ----------
    name : str
    key : callable
        Returns the fingerprint of everything that the result is made of.
    work : callable
        Makes the result in a folder; returns the facts that are worth keeping.
    """

    name: str
    key: Callable[[Material], str]
    work: Callable[[Material, Path], Facts]


STAGES = (
    Stage("ingest", from_log.ingest_key, from_log.ingest),
    Stage("validate", from_log.validate_key, from_log.validate),
    Stage("train", from_log.train_key, from_log.train),
    Stage("evaluate", from_log.evaluate_key, from_log.evaluate),
    Stage("align", to_version.align_key, to_version.align),
    Stage("index", to_version.index_key, to_version.index),
    Stage("publish", to_version.publish_key, to_version.publish_version),
    Stage("prune", to_version.prune_key, to_version.prune_versions),
)
