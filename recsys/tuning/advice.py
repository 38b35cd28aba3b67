"""What a comparison says: which model to train, why, and what else counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys.evaluation import ComparedModel, Comparison, compare
from recsys.models import MODELS, nested
from recsys.models.popularity import Popularity
from recsys.settings import AUTO
from recsys.tuning.candidates import Candidate

LUCK = 0.05  # a p-value from which a difference may be luck
_FEW_USERS = 100  # do not tell models apart
_LOSS = 0.02  # of the metric, that distilling may cost without a word
_AS_GOOD = 0.01  # below the best: bytes and seconds count more
_CHEAPER = 0.5  # of the bytes, or of the seconds
_DISTILLED = " (distilled)"


@dataclass(frozen=True)
class Advice:
    """Which model of a comparison to train.

    Parameters
    ----------
    row : str
        Its name in the comparison.
    name, parameters
        As `recsys.models.model_from` takes them.
    is_default : bool
        Whether the name alone, or none at all, trains it.
    what, why, beside : str
        What to train, without a full stop; why, and what else counts, a sentence each.
    """

    row: str
    name: str
    parameters: Mapping[str, Any]
    is_default: bool
    what: str
    why: str
    beside: str

    @property
    def sentences(self) -> list[str]:
        """All three."""
        return [f"{self.what}.", self.why, self.beside]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        model = {"name": self.name, **nested(self.parameters)}
        return {"row": self.row, "model": model, "sentences": self.sentences}

    @property
    def options(self) -> list[str] | None:
        """The options of ``recsys train`` that train it; None where it takes a config."""
        if self.row == AUTO:
            return []
        return ["--model", self.name] if self.is_default else None


def best_name(compared: Mapping[str, ComparedModel], metric: str) -> str:
    """Return the model of a comparison that reached most, the first of equals."""
    return max(compared, key=lambda name: compared[name].evaluation.metrics[metric])


def distilled_name(scorer: str) -> str:
    """Return the name of what is distilled from a scorer, in a comparison."""
    return scorer + _DISTILLED


def advise(compared: Mapping[str, ComparedModel], metric: str) -> Advice | None:
    """Return which model of a comparison to train; None where none of them can be published.

    Parameters
    ----------
    compared : mapping of str to ComparedModel
        By name, as `recsys.selection.compare_models` gives them.
    metric : str
        Such as "ndcg@20".

    Returns
    -------
    Advice
        Of the model with vectors that reached most on the test part.
    """
    with_vectors = {name: one for name, one in compared.items() if one.model in MODELS}
    if not with_vectors:
        return None
    row = best_name(with_vectors, metric)
    entry = with_vectors.pop(row)
    return Advice(
        row,
        entry.model,
        entry.parameters,
        not entry.parameters,
        f"Train {label_of(row, entry)}",
        _why(row, with_vectors, compared, metric),
        _beside(row, with_vectors, compared, metric),
    )


def label_of(row: str, entry: ComparedModel) -> str:
    """Return a model with its number of factors, for a sentence."""
    factors = getattr(Candidate(entry.model, entry.parameters).model(), "factors", 0)
    size = f"{factors} factors" if factors > 1 else ""
    if row == AUTO:
        chosen = f"{entry.model} with {size}" if size else entry.model
        return f"without naming a model, which chooses {chosen}"
    return f"{row} with {size}" if size else row


def loss_sentence(compared: Mapping[str, ComparedModel], metric: str) -> str:
    """Return what is lost by distilling a scorer into vectors; empty where none was distilled."""
    for name, entry in compared.items():
        teacher = name.removesuffix(_DISTILLED)
        if teacher == name or teacher not in compared:
            continue
        had = compared[teacher].evaluation.metrics[metric]
        has = entry.evaluation.metrics[metric]
        if has >= had:
            return f"Distilled into vectors, {teacher} loses nothing of {metric}"
        loss = 1 - has / had
        more = ", more than 2 %" if loss > _LOSS else ""
        return f"Distilled into vectors, {teacher} loses {_percent(loss)} of {metric}{more}"
    return ""


def _why(
    row: str,
    others: Mapping[str, ComparedModel],
    compared: Mapping[str, ComparedModel],
    metric: str,
) -> str:
    evaluation = compared[row].evaluation
    rest = [name for name in others if others[name].model != Popularity.name]
    rivals = [max(rest, key=lambda name: _value(compared, name, metric))] if rest else []
    popular = [name for name in others if others[name].model == Popularity.name]
    parts = [_above(_against(compared, row, name, metric), compared) for name in rivals + popular]
    reached = (
        f"It reached {metric} {evaluation.metrics[metric]:.4f} on the {evaluation.n_users:,} users "
        "of the test part"
    )
    return f"{reached}: {', and '.join(parts)}." if parts else f"{reached}."


def _beside(
    row: str,
    others: Mapping[str, ComparedModel],
    compared: Mapping[str, ComparedModel],
    metric: str,
) -> str:
    entry, n_users = compared[row], compared[row].evaluation.n_users
    if n_users < _FEW_USERS:
        return (
            f"Only {n_users:,} users were tested, too few to tell models apart: "
            "--split random or --split last tests more."
        )
    for name, one in others.items():
        if one.model == Popularity.name and not _is_better(_against(compared, row, name, metric)):
            return "It is not better than popularity by more than luck: more events may show more."
    if sentence := loss_sentence(compared, metric):
        return f"{sentence}."
    cheaper = _cheaper(row, others, compared, metric)
    if cheaper is not None:
        one = others[cheaper]
        return (
            f"As far as this test can tell, {cheaper} is as good, in {one.seconds:.1f} s and "
            f"{one.n_bytes / 1e6:.1f} MB instead of {entry.seconds:.1f} s and "
            f"{entry.n_bytes / 1e6:.1f} MB."
        )
    return (
        f"A fit takes {entry.seconds:.1f} s and its vectors {entry.n_bytes / 1e6:.1f} MB: "
        "recsys dimensions shows what fewer or more factors give."
    )


def _cheaper(
    row: str,
    others: Mapping[str, ComparedModel],
    compared: Mapping[str, ComparedModel],
    metric: str,
) -> str | None:
    """Return the best that takes half of the bytes or seconds, and is as good; None without one."""
    entry, least = compared[row], (1 - _AS_GOOD) * _value(compared, row, metric)
    found = [
        name
        for name, one in others.items()
        if one.n_bytes <= entry.n_bytes
        and one.seconds <= entry.seconds
        and (one.n_bytes < _CHEAPER * entry.n_bytes or one.seconds < _CHEAPER * entry.seconds)
        and _value(compared, name, metric) >= least
        and not _is_better(_against(compared, row, name, metric))
    ]
    return max(found, key=lambda name: _value(compared, name, metric), default=None)


def _value(compared: Mapping[str, ComparedModel], name: str, metric: str) -> float:
    return compared[name].evaluation.metrics[metric]


def _against(
    compared: Mapping[str, ComparedModel], row: str, other: str, metric: str
) -> Comparison:
    """Compare two models of a comparison with each other."""
    pair = {name: compared[name].evaluation for name in (row, other)}
    return compare(pair, other, metric)[0]


def _is_better(one: Comparison) -> bool:
    return one.difference > 0 and one.p_value < LUCK


def _above(one: Comparison, compared: Mapping[str, ComparedModel]) -> str:
    """Return how far a model is above another, in words."""
    had = _value(compared, one.baseline, one.metric)
    size = abs(one.difference)
    more = _percent(size / had) if had > 0 else f"{size:.4f}"
    side = "below" if one.difference < 0 else "above"
    luck = "more than luck" if one.p_value < LUCK else "which may be luck"
    return f"{more} {side} {one.baseline}, {luck} (p = {one.p_value:.4f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
