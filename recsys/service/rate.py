"""How many requests a second a key may make: a bucket of tokens for each, in every worker."""

from collections.abc import Callable
from time import monotonic


class Rate:
    """Lets so many through a second by name, and as many at once as a second brings.

    Parameters
    ----------
    per_second : float
        Of one worker.
    now : callable
        Returns seconds.

    Examples
    --------
    >>> moments = iter([0.0, 0.0, 0.0, 0.5])
    >>> rate = Rate(2.0, lambda: next(moments))
    >>> [rate.seconds_to_wait("shop") for _ in range(4)]
    [0.0, 0.0, 0.5, 0.0]
    """

    def __init__(self, per_second: float, now: Callable[[], float] = monotonic) -> None:
        self._per_second, self._now = per_second, now
        self._most = max(per_second, 1.0)
        self._left: dict[str, tuple[float, float]] = {}  # tokens, and when there were so many

    def seconds_to_wait(self, name: str) -> float:
        """Take a token and return 0; where there is none, return how long until there is."""
        now = self._now()
        tokens, then = self._left.get(name, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self._per_second)
        if tokens < 1:
            return (1 - tokens) / self._per_second
        self._left[name] = tokens - 1, now
        return 0.0
