"""ALS compared to popularity on real logs, with the configs in pipelines/examples.

    RECSYS_DATA=folder python -m benchmarks.real_logs

Prints a Markdown table: ndcg@20 and recall@20 with 95 % intervals over users.
"""

from dataclasses import replace
from pathlib import Path
from time import perf_counter

from recsys.config import Settings, read_config
from recsys.evaluation import Evaluation
from recsys.inputs import read_test
from recsys.logs import read_log
from recsys.models import ALS
from recsys.training import evaluate_models, with_split

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "pipelines" / "examples"
SPLITS = {"time": "by time, last {share:.0%}", "last": "last of each user", "given": "given"}


def main() -> None:
    """Evaluate every example and print one row each."""
    print(
        "| log | events | split | users | popularity ndcg@20 | ALS ndcg@20 | recall@20 | seconds |"
    )
    print("|---|---:|---|---:|---|---|---|---:|")
    for path in sorted(EXAMPLES.glob("*.toml")):
        print(row(path.stem, read_config(path)), flush=True)


def row(name: str, settings: Settings) -> str:
    """Read, split, fit and evaluate one log; return its row."""
    start = perf_counter()
    settings = replace(settings, model=settings.model or ALS())
    log = read_log(settings.data.log, settings.log)
    test = read_test(settings)
    settings = with_split(settings, log, test)
    results = evaluate_models(log, settings, test=test)
    seconds = perf_counter() - start
    als, popularity = results[settings.chosen_model.name], results["popularity"]
    split = SPLITS[settings.evaluation.split].format(share=settings.evaluation.test_fraction)
    cells = [
        name,
        f"{len(log):,}",
        split,
        f"{als.n_users:,}",
        cell(popularity, "ndcg@20"),
        cell(als, "ndcg@20"),
        cell(als, "recall@20"),
        f"{seconds:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def cell(result: Evaluation, metric: str) -> str:
    """Write a metric with its interval."""
    low, high = result.intervals[metric]
    return f"{result.metrics[metric]:.4f} ({low:.4f} - {high:.4f})"


if __name__ == "__main__":
    main()
