"""A refresh: the night with another training stage, which folds in what is new since the version.

Nothing is trained, chosen or tested; reading, the index, the gates and publishing are those of the
night. It takes seconds, so that the users and items of today have a version before the next night.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsys.base.errors import StoreError
from recsys.base.lazy import lazy_property
from recsys.config import Settings, settings_from
from recsys.events import key_of, through_of
from recsys.nightly.context import Context
from recsys.nightly.extension import Extension
from recsys.nightly.night import Pipeline, only_refresh, run_pipeline
from recsys.nightly.outputs import Pruned, Refreshed, read_embeddings, write_embeddings
from recsys.nightly.report import NightReport
from recsys.nightly.run import REFRESHES
from recsys.nightly.stages import Stage, drop_events, index, ingest, publish_release
from recsys.objects import use_cache
from recsys.serving import store_path
from recsys.store import Content, Release, find_version, prune_refreshed
from recsys.vectors import Id


def run_refresh(
    settings: Settings | Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    *,
    progress: bool = False,
) -> NightReport:
    """Fold in the users and items of the log that the current version does not know, and publish.

    The users and items that it knows keep their embeddings bit for bit, and the new version has
    its `space_id`, model, metrics and settings. What its users have seen since is added to what
    they have seen. Where nothing is new, the current version stays. Versions of refreshes are
    deleted when two newer ones are there; those of nights are left to `prune`.

    Parameters
    ----------
    settings : Settings or mapping, optional
        Those of the night. Of a mapping, the tables of a config, what it does not say is as it was
        when the current version was made. Default: all of it is.
    store : path, optional
        Default: ``nightly.store``, else $RECSYS_STORE, else ./store.
    progress : bool
        Show what is being done where stderr is a terminal.

    Raises
    ------
    StoreError
        If there is no version yet, a night or another refresh runs on this store, or it cannot be
        written.
    GateFailedError
        If a check refuses the version. The current one stays.
    DataError
        If the log cannot be used.
    ConfigError
        If settings contradict each other.
    StoppedError
        If SIGTERM or SIGINT came.
    """
    if not isinstance(settings, Settings):
        settings = _settings_over_version(settings or {}, store)
    return run_pipeline(REFRESH, settings, store, progress=progress)


def _settings_over_version(tables: Mapping[str, Any], store: str | Path | None) -> Settings:
    """Return the settings of tables, the others as the current version was made with them."""
    use_cache(tables.get("data", {}).get("cache"))
    named = store or tables.get("nightly", {}).get("store")
    config = dict(find_version(store_path(named)).manifest.config)
    for name, table in tables.items():
        is_model = name == "model"  # of which nothing is used
        config[name] = config[name] if is_model else {**config.get(name, {}), **table}
    return settings_from(config)


class RefreshContext(Context):
    """What the stages of a refresh share."""

    @lazy_property
    def extension(self) -> Extension:
        """The version before, with what the log knows beyond it."""
        if self.parent is None:
            raise StoreError(
                f"store {self.store}: expected a version to refresh, got none; publish one first, "
                "with recsys train or recsys nightly"
            )
        return Extension(
            self.parent,
            self.log,
            self.attributes,
            self.user_attributes,
            self.settings.log.popular_half_life_days,
            self._deleted(self.parent),
            self.settings.log.trending_days,
        )

    def _deleted(self, parent: Content) -> list[Id]:
        """Return the users of the parent whose data was deleted since, as the log knows of it.

        Who came back since is in the log, and is folded in as a new user.
        """
        if self.events is None or self.events.identity not in self.live:
            return []
        identity = self.events.identity
        since, until = through_of(parent.version.manifest.data, identity), self.live[identity]
        deleted = {
            user
            for user, deletion in self.events.deletions().items()
            if since < deletion.number <= until
        }
        ids = parent.users.ids.tolist() if deleted else []
        return [user_id for user_id in ids if key_of(str(user_id)) in deleted]

    @property
    def live_facts(self) -> dict[str, Any]:
        """What users have seen is new; embeddings that were there stay."""
        before: Any = {} if self.parent is None else self.parent.version.manifest.data
        return {"live": self.live, "live_trained": before.get("live_trained", {})}

    @lazy_property
    def release(self) -> Release:
        """What is published: the version before, with the rows that were folded in."""
        return self.extension.release(read_embeddings(self.run.output("fold_in")))


def _fold_in(refresh: RefreshContext, folder: Path) -> Refreshed:
    """Fold in new users and items."""
    write_embeddings(folder, refresh.extension.embeddings())
    return Refreshed(**asdict(refresh.extension.added))


def _prune(refresh: Context, _folder: Path) -> Pruned:
    """Delete the versions of refreshes before."""
    done = prune_refreshed(refresh.store)
    drop_events(refresh)
    return Pruned(len(done.deleted), done.n_bytes, len(done.kept))


def _has_nothing_new(refresh: RefreshContext) -> bool:
    return refresh.extension.added.is_nothing


STAGES = (
    Stage("ingest", ingest, settings=("log", "events"), reads=("data.log", "events")),
    Stage(
        "fold_in",
        _fold_in,
        after=("ingest",),
        settings=("data.item_columns", "data.user_columns"),
        reads=("data.items", "data.users", "current version"),
    ),
    Stage("index", index, after=("fold_in",), settings=("index",)),
    Stage("publish", publish_release, after=("index",), settings=("gates",)),
    Stage("prune", _prune, after=("publish",)),
)

REFRESH = Pipeline("refresh", STAGES, REFRESHES, RefreshContext, _has_nothing_new, only_refresh)
