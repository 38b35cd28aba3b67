"""What stages work on: read from the outputs of those before, when first asked for."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from recsys.base.errors import StoreError
from recsys.config import Settings
from recsys.logs import Interactions
from recsys.nightly.journal import Journal
from recsys.nightly.report import StageReport
from recsys.nightly.run import Run
from recsys.nightly.stage_files import read_embeddings, read_interactions
from recsys.store import BuiltIndexes, Content, Release, find_version, read_version
from recsys.training import read_test, read_titles, release_of

if TYPE_CHECKING:
    import scipy.sparse as sp

Facts = dict[str, Any]
"""What a stage found out, as JSON can hold it."""


@dataclass
class Material:
    """What the stages of a run share.

    A stage that was finished by an earlier start has left the same as one that ran just now, so
    both are read from the disk, in one way.

    Parameters
    ----------
    settings : Settings
    store : Path
    run : Run
    journal : Journal
    progress : bool
    keys : dict of str to str
        The fingerprints of the stages that are settled.
    within : list of StageReport
        Of stages that are done inside another one: the gates look at what is being published.
    """

    settings: Settings
    store: Path
    run: Run
    journal: Journal
    progress: bool = False
    keys: dict[str, str] = field(default_factory=dict)
    within: list[StageReport] = field(default_factory=list)

    @cached_property
    def parent(self) -> Content | None:
        """The version that was current when the run began; None where it cannot be opened."""
        if self.run.parent is None:
            return None
        try:
            return read_version(find_version(self.store, self.run.parent))
        except StoreError as error:
            self.journal.write("warning", "parent left aside", error=str(error))
            return None

    @cached_property
    def log(self) -> Interactions:
        """The whole log."""
        account = self.run.stages["ingest"].facts["account"]
        return read_interactions(self.run.output("ingest"), account, self.settings)

    @cached_property
    def user_items(self) -> "sp.csr_array":
        """The matrix of the whole log."""
        return self.log.user_items()

    @cached_property
    def test(self) -> Interactions | None:
        """The test part, where the settings name one."""
        return read_test(self.settings)

    @cached_property
    def titles(self) -> pa.Table | None:
        """The table of items, where the settings name one."""
        return read_titles(self.settings)

    @cached_property
    def trained(self) -> Release:
        """What was trained, in coordinates of its own."""
        stages = self.run.stages
        model = {"name": self.settings.model.name, "parameters": stages["train"].facts["model"]}
        return release_of(
            self.log,
            self.user_items,
            read_embeddings(self.run.output("train")),
            self.settings,
            metrics=stages["evaluate"].facts["metrics"],
            items=self.titles,
            model=model,
        )

    @cached_property
    def release(self) -> Release:
        """What is published: in the coordinates of the parent, where it can be."""
        facts = self.run.stages["align"].facts
        return replace(
            self.trained,
            embeddings=read_embeddings(self.run.output("align")),
            space_id=facts["space_id"],
            alignment=facts["alignment"],
        )

    @property
    def indexes(self) -> BuiltIndexes:
        """The indexes of the release."""
        facts: dict[str, Any] = dict(self.run.stages["index"].facts["index"])
        return BuiltIndexes(self.run.output("index"), facts)
