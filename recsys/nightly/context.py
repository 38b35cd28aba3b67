"""What the stages of a night share: settings, store and run, and the results of stages before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from recsys.base.errors import ConfigError
from recsys.base.lazy import lazy_property
from recsys.base.progress import spinner
from recsys.config import Settings
from recsys.events import EventDatabase, drop_held, has_events, open_events
from recsys.features import Described
from recsys.inputs import read_attributes, read_described, read_test, read_user_attributes
from recsys.logs import Interactions, take_new_rows
from recsys.logs.sources import LogSource
from recsys.models import model_from
from recsys.nightly.journal import Journal
from recsys.nightly.outputs import (
    Aligned,
    Chosen,
    Evaluated,
    Indexed,
    Ingested,
    Trained,
    read_embeddings,
    read_interactions,
)
from recsys.nightly.report import NightReport, StageReport
from recsys.nightly.run import Run
from recsys.store import (
    BuiltIndexes,
    Content,
    EvaluationSummary,
    IndexSummaries,
    ModelSpec,
    Release,
    current_or_none,
    damage_of,
    find_version,
)
from recsys.training import release_of, with_split

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass
class Context:
    """What the stages of a run share.

    A stage that an earlier start has finished has left the same as one that ran just now, so both
    are read from the disk, in one way.
    """

    settings: Settings
    store: Path
    run: Run
    journal: Journal
    report: Callable[[StageReport], None]  # of the gates, which run while a version is published
    progress: bool = False
    keys: dict[str, str] = field(default_factory=dict)  # of the stages that are done

    @lazy_property
    def parent(self) -> Content | None:
        """The parent of the run, open; None where there is none, or it is damaged."""
        if self.run.parent is None:
            return None
        version = find_version(self.store, self.run.parent)
        damage = damage_of(version)
        if damage is None:
            return Content.of(version)
        self.journal.write("warning", "parent left aside", error=str(damage))
        return None

    @lazy_property
    def events(self) -> EventDatabase | None:
        """The events of the online service; None where it has taken none."""
        if not has_events(self.store, self.settings.events):
            return None
        return open_events(self.store, self.settings.events, create=False)

    @lazy_property
    def live(self) -> dict[str, int]:
        """Up to which numbers the log has those events."""
        return dict(Ingested.from_dict(self.run.facts("ingest")).live)

    def drop_events(self, kept: Mapping[str, Mapping[str, Any]]) -> None:
        """Delete from the database what versions hold, by their names and data of manifests."""
        if self.events is not None:
            of_current = kept.get(current_or_none(self.store) or "", {})
            drop_held(self.events, kept.values(), of_current, self.settings.events.max_events)

    @property
    def live_facts(self) -> dict[str, Any]:
        """What a manifest keeps of them: what users have seen, and what was trained on."""
        return {"live": self.live, "live_trained": self.live}

    def log_source(self) -> LogSource:
        """Return the files of the log, or the rows of its query, asked for what is new."""
        if self.settings.log.sql is None:
            if not self.settings.data.log:
                raise ConfigError(
                    "data.log: expected files or folders of the log, got none, as of a version "
                    "that was trained on a table; name them in the config, as data.log or log.sql"
                )
            return self.settings.data.log
        with spinner("reading the log", enabled=self.progress) as report:
            fetched = take_new_rows(self.store, self.settings.log, self.run.now, report)
        for sentence in fetched.notes:
            self.journal.write("info", "asked", "ingest", sentence=sentence)
        return fetched

    @lazy_property
    def log(self) -> Interactions:
        """The whole log."""
        ingested = Ingested.from_dict(self.run.facts("ingest"))
        return read_interactions(self.run.output("ingest"), ingested.row_counts, self.settings)

    @lazy_property
    def with_split(self) -> Settings:
        """The settings with the split decided for the log."""
        return with_split(self.settings, self.log, self.test)

    @lazy_property
    def chosen(self) -> Chosen:
        """The model, and how it was chosen."""
        return Chosen.from_dict(self.run.facts("choose"))

    @lazy_property
    def decided(self) -> Settings:
        """The settings with the split and the model decided for the log."""
        hyperparameters = dict(self.chosen.model)
        model = model_from(hyperparameters.pop("name"), hyperparameters)
        return replace(self.with_split, model=model)

    @lazy_property
    def user_items(self) -> "sp.csr_array":
        """The matrix of the whole log, (n_users, n_items)."""
        return self.log_of_fit.user_items()

    @lazy_property
    def test(self) -> Interactions | None:
        """The test part, where the settings name one."""
        return read_test(self.settings)

    @lazy_property
    def attributes(self) -> pa.Table | None:
        """The table of item attributes, where the settings name one."""
        return read_attributes(self.settings)

    @lazy_property
    def user_attributes(self) -> pa.Table | None:
        """The table of user attributes, where the settings name one."""
        return read_user_attributes(self.settings)

    @lazy_property
    def described(self) -> Described | None:
        """What the model knows of items and users, where the settings name columns."""
        return read_described(self.settings, self.attributes, self.user_attributes)

    @lazy_property
    def log_of_fit(self) -> Interactions:
        """The whole log, with the items that a model knows of by their attributes alone."""
        return self.log if self.described is None else self.described.with_new_items(self.log)

    @lazy_property
    def trained(self) -> Release:
        """What was trained, in coordinates of its own."""
        parameters = Trained.from_dict(self.run.facts("train")).model
        metrics = Evaluated.from_dict(self.run.facts("evaluate")).metrics
        return release_of(
            self.log_of_fit,
            self.user_items,
            read_embeddings(self.run.output("train")),
            self.decided,
            metrics={name: EvaluationSummary.from_dict(one) for name, one in metrics.items()},
            items=self.attributes,
            users=self.user_attributes,
            model=ModelSpec(self.chosen.model["name"], parameters, choice=self.chosen.choice),
            described=self.described,
        )

    @lazy_property
    def release(self) -> Release:
        """What is published: in the coordinates of the parent, where it can be."""
        aligned = Aligned.from_dict(self.run.facts("align"))
        return replace(
            self.trained,
            embeddings=read_embeddings(self.run.output("align")),
            space_id=aligned.space_id,
            alignment=aligned.alignment,
        )

    @property
    def indexes(self) -> BuiltIndexes:
        """The indexes of the release."""
        indexed = Indexed.from_dict(self.run.facts("index"))
        return BuiltIndexes(self.run.output("index"), IndexSummaries.from_dict(indexed.index))

    @lazy_property
    def tracker(self) -> Callable[[Settings, NightReport], str | None] | None:
        """What records the night on MLflow, where the settings ask for that."""
        if self.settings.nightly.mlflow is None:
            return None
        from recsys.nightly.telemetry import require_mlflow, track  # an extra

        require_mlflow()
        return track
