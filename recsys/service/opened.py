"""The version that the service answers from: opened, warmed, and replaced by the next one."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock

from recsys.base.errors import CorruptVersionError, RecsysError
from recsys.base.rule_settings import NO_RULES, RuleSettings
from recsys.service.list_writer import SOURCES, ListWriter
from recsys.service.live import Fresh, Live
from recsys.serving import Recommender
from recsys.serving.open import open_content
from recsys.serving.plain_lists import PlainLists
from recsys.store import Content, current_or_none, open_version
from recsys.store.versions import current_signature

log = logging.getLogger("recsys.service")

_WARM_K = 20
_PLAIN_REQUESTS = 64  # kept
_MOST_OTHERS = 2  # open at a time
_IDLE_SECONDS = 600.0  # after which another version is closed, so that it can be pruned


class Opened:
    """One open version, which a request keeps from its start to its end.

    Attributes
    ----------
    others : OtherVersions or None
        Of the current version alone.
    headers : dict of str to list
        What every answer is sent with, by the source of a list; an empty one for what is no list.
    """

    def __init__(
        self,
        content: Content,
        live: Live | None = None,
        *,
        others: "OtherVersions | None" = None,
        rules: RuleSettings = NO_RULES,
    ) -> None:
        self.content, self.others = content, others
        self.store = content.version.folder.parents[1]
        self.manifest = content.version.manifest
        self.recommender = Recommender(content, rules)
        self.rows = self.recommender.rows
        self.fresh = Fresh(content, self.recommender, live, is_current=others is not None)
        # Rules change with the time and with the file of what is sold out.
        kept = lru_cache(_PLAIN_REQUESTS)(self.rows.request)
        self.plain_request = self.rows.request if rules else kept  # of a k alone
        self.plain_lists = None if rules else PlainLists.of(content)
        self.writer = ListWriter(content)
        self.version = content.version.name
        named = (b"x-recsys-version", self.version.encode())
        self.headers: dict[str, list[tuple[bytes, bytes]]] = {
            source: [named, (b"x-recsys-source", source.encode())] for source in SOURCES
        }
        self.headers[""] = [named]
        self.since = time.time()
        self._warm()

    def _warm(self) -> None:
        """Make the lists of a user and of nobody: what is read at first use is in memory then."""
        request = self.plain_request(_WARM_K)
        for user_id in ("", self.content.user_lookup.ids[0] if self.content.user_lookup.n else ""):
            self.writer.text(self.rows.recommend(user_id, request))
            self.plain_list(str(user_id), _WARM_K)

    def plain_list(self, user_id: str, k: int) -> bytes | None:
        """Return the list of a user as JSON; None where it takes more than one call."""
        return None if self.plain_lists is None else self.plain_lists.json(user_id, k)


class OtherVersions:
    """Versions that are not current, opened when they are asked for; the last ones stay open."""

    def __init__(self, store: Path, live: Live | None, rules: RuleSettings) -> None:
        self._store, self._live, self._rules = store, live, rules
        self._open: OrderedDict[str, tuple[Opened, float]] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> Opened:
        """Return a version, open; a StoreError where there is none, or it cannot be read."""
        with self._lock:
            known = self._open.pop(name, None)
            opened = (
                Opened(open_version(self._store, name), self._live, rules=self._rules)
                if known is None
                else known[0]
            )
            self._open[name] = opened, time.monotonic()
            while len(self._open) > _MOST_OTHERS:
                self._open.popitem(last=False)
        return opened

    def close_idle(self) -> None:
        """Close what nobody has asked for lately."""
        with self._lock:
            end = time.monotonic() - _IDLE_SECONDS
            for name in [name for name, (_, asked) in self._open.items() if asked < end]:
                del self._open[name]


class CurrentVersion:
    """Keeps the current version of a store open.

    Parameters
    ----------
    store : path
        Its folder.
    on_event : callable
        Called with "opened" or "refused" when a version is taken up, or cannot be.
    live : Live, optional
        What users have done since.
    rules : RuleSettings
        What holds for every list.

    Attributes
    ----------
    opened : Opened or None
        None until the first one is open. A request takes it once, so it never sees two.
    """

    def __init__(
        self,
        store: Path,
        on_event: Callable[[str], None],
        live: Live | None = None,
        rules: RuleSettings = NO_RULES,
    ) -> None:
        self.store, self._live, self._rules = store, live, rules
        self._others = OtherVersions(store, live, rules)
        self.opened: Opened | None = None
        self._on_event = on_event
        self._signature: list[int] | str | None = None
        self._refused: str | None = None
        self._lock = Lock()

    def refresh(self) -> None:
        """Open the current version where it is another one; the old one stays where that fails.

        At the start a damaged one is passed over for the one before it; later the open one goes on.
        """
        self._others.close_idle()
        with self._lock:
            signature = current_signature(self.store)
            if self.opened is not None and signature == self._signature:
                return
            try:
                self._open()
            except (RecsysError, OSError, ValueError) as error:
                self._refuse(str(error))
                is_damaged = isinstance(error, CorruptVersionError)
                if self.opened is None or not is_damaged:
                    return  # tried again: it may be published, mended, or readable by then
            self._signature = signature

    def _refuse(self, reason: str) -> None:
        if reason != self._refused:
            self._on_event("refused")
            serving = None if self.opened is None else self.opened.version
            facts = {"serving": serving}
            log.error("refused the current version: %s", reason, extra={"facts": facts})
        self._refused = reason

    def _open(self) -> None:
        if self.opened is None:
            self._take(open_content(self.store))
        elif current_or_none(self.store) != self.opened.version:
            self._take(open_version(self.store))

    def _take(self, content: Content) -> None:
        opened = Opened(content, self._live, others=self._others, rules=self._rules)
        if self._live is not None:  # before it answers: it may hold less than the one before
            self._live.refresh(opened.fresh.trained)
        self.opened, self._refused = opened, None
        self._on_event("opened")
        log.info("opened", extra={"facts": {"version": self.opened.version}})

    @property
    def is_ready(self) -> bool:
        """Whether a version is open and warm."""
        return self.opened is not None
