"""Records a night on MLflow, where that is configured: parameters, metrics and the report."""

import os
from types import ModuleType

from recsys.base.distribution import extra, missing_package
from recsys.config import Settings
from recsys.models import flat, parameters_of
from recsys.nightly.report import NightReport


def require_mlflow() -> ModuleType:
    """Import MLflow."""
    # A server that is down must not hold up the night: three tries, not the default of minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is --json's
    try:
        import mlflow
    except ImportError as error:
        raise missing_package(
            "nightly.mlflow", "mlflow", extra("mlflow"), "leave the setting out"
        ) from error
    module: ModuleType = mlflow
    return module


def track(settings: Settings, report: NightReport) -> str | None:
    """Record a night on the tracking server of the settings; return why it failed, if it did."""
    mlflow = require_mlflow()
    try:
        mlflow.set_tracking_uri(settings.nightly.mlflow)
        mlflow.set_experiment(settings.nightly.mlflow_experiment)
        known = mlflow.search_runs(
            filter_string=f"tags.`recsys.run` = '{report.run}'", output_format="list"
        )
        # A night that was killed after it was recorded is one night all the same.
        known_id = known[0].info.run_id if known else None
        with mlflow.start_run(run_id=known_id, run_name=None if known else report.run):
            if not known:
                parameters = {"name": settings.model.name, **parameters_of(settings.model)}
                mlflow.log_params(flat(parameters))
            mlflow.log_metrics(_metrics(report))
            mlflow.set_tags({"recsys.run": report.run, "recsys.version": report.version or ""})
            mlflow.log_dict(report.to_dict(), "report.json")
    except Exception as error:  # whatever a network, a server or its client raises
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def _metrics(report: NightReport) -> dict[str, float]:
    """Return the numbers of a night by names that MLflow takes."""
    found = {f"seconds/{stage.name}": stage.seconds for stage in report.stages}
    for model, evaluation in report.metrics.items():
        for name, value in evaluation["metrics"].items():
            found[f"{model}/{name.replace('@', '_at_')}"] = value
    counts = {f"log/{k}": v for k, v in report.facts("ingest").items() if isinstance(v, int)}
    return found | counts
