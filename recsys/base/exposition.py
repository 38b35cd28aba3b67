"""The text exposition format of Prometheus, version 0.0.4: help, type and samples of a metric."""

import math
from collections.abc import Mapping, Sequence

SampleLabels = Mapping[str, str]


def gauge(name: str, help_: str, value: float | None, labels: SampleLabels | None = None) -> str:
    """Return a metric of one sample; nothing where it has no value."""
    return family(name, help_, [] if value is None else [(labels or {}, value)])


def family(
    name: str, help_: str, samples: Sequence[tuple[SampleLabels, float]], type_: str = "gauge"
) -> str:
    """Return one metric and its samples; nothing where it has none."""
    if not samples:
        return ""
    return head(name, help_, type_) + "".join(sample(name, *one) for one in samples)


def head(name: str, help_: str, type_: str) -> str:
    """Return the lines before the samples of a metric."""
    return f"# HELP {name} {_escaped(help_)}\n# TYPE {name} {type_}\n"


def sample(name: str, labels: SampleLabels, value: float) -> str:
    """Return the line of a sample."""
    return f"{name}{_labels(labels)} {_number(value)}\n"


def _labels(labels: SampleLabels) -> str:
    shown = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return f"{{{shown}}}" if shown else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quotes else escaped


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
