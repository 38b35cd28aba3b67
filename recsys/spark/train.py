"""Train on Spark and publish: what `recsys.train` does, for a log that outgrows a machine."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.errors import ConfigError
from recsys.inputs import read_attributes, read_user_attributes
from recsys.models import ALS
from recsys.models.protocol import epoch_bar
from recsys.objects import use_cache
from recsys.spark.als import fit
from recsys.spark.log import read
from recsys.spark.release import release_of
from recsys.spark.session import explaining, spark_session, work_folder
from recsys.store import (
    Version,
    align_with_current,
    parent_of,
    publish,
    require_comparable,
    require_writable,
)
from recsys.training import gates_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.config import Settings
    from recsys.spark.log import SparkLog


def train(
    settings: Settings,
    store: str | Path = "store",
    *,
    spark: SparkSession | None = None,
    log: SparkLog | None = None,
    rejects: str | Path | None = None,
    progress: bool = False,
) -> Version:
    """Train on the log of some settings by Spark, and publish a version.

    The version is one like any other: in the space of its parent where it can be aligned, with
    the index and the gates of the settings. Its metrics are missing: nothing is tested on Spark.

    Parameters
    ----------
    settings : Settings
        With ``data.log``, and a model named "als".
    store : path
        On the machine of the driver; made if it is not there.
    spark : SparkSession, optional
        Default: the one that is there, or one by ``[spark]``.
    log : SparkLog, optional
        Default: what `recsys.spark.read` reads.
    rejects : path, optional
        As in `recsys.spark.read`.
    progress : bool
        Show progress bars where stderr is a terminal.

    Returns
    -------
    Version
        The published version, now the current one.

    Raises
    ------
    ConfigError
        If the model is another one, or a cluster is not told a folder that all machines see.
    DataError, GateFailedError, StoreError
        As `recsys.train`.
    """
    als = _als_of(settings)
    use_cache(settings.data.cache)
    require_writable(store)
    if settings.gates.enabled:
        require_comparable(store, parent_of(store))
    if settings.evaluation.split not in ("none", "auto"):
        warnings.warn(
            f'evaluation.split: expected "none" for engine = "spark", which tests nothing, got '
            f'"{settings.evaluation.split}"; the version has no metrics',
            RuntimeWarning,
            stacklevel=2,
        )
    settings = replace(settings, evaluation=replace(settings.evaluation, split="none"))
    # Before the fit: a table that cannot be read should not cost hours.
    tables = read_attributes(settings), read_user_attributes(settings)
    spark = spark or spark_session(settings.spark)
    folder = work_folder(settings.spark, spark)
    log = log or read(settings, spark, folder=folder, rejects=rejects)
    with (
        epoch_bar("fitting als", enabled=progress) as on_epoch,
        explaining("fitting als"),
        tempfile.TemporaryDirectory() as scratch,
    ):
        found = fit(als, log, folder / "fit", spark=spark, on_epoch=on_epoch, replace=True)
        release = release_of(found, log, settings, Path(scratch), *tables)
        release = align_with_current(store, release, settings.alignment)
        version = publish(
            store, release, settings.index, gate=gates_of(settings), progress=progress
        )
        shutil.rmtree(folder / "fit", ignore_errors=True)  # the next fit is another one
    return version


def _als_of(settings: Settings) -> ALS:
    model = settings.model
    if not isinstance(model, ALS):
        got = "none" if model is None else model.name
        raise ConfigError(
            f'model.name: expected "als" for engine = "spark", got {got}; name it: --model als, or '
            '[model] name = "als", or set engine = "local" (--engine local)'
        )
    if settings.features:
        named, columns = next(iter(settings.features.to_dict().items()))
        raise ConfigError(
            f'model.{named}: expected none for engine = "spark", which fits events alone, got '
            f'{columns}; leave them out, or set engine = "local" (--engine local)'
        )
    return model
