"""Train every model on the bundled log in this process; one line of JSON with all checksums.

``python -m tests.same_bits STORE [CORES]``: with so many cores only.
"""

import json
import os
import sys
from pathlib import Path

MODELS = ("als", "svd", "softmax", "distilled", "item2vec", "blend")
SAMPLE = Path(__file__).parents[1] / "data" / "sample"


def main(store: Path, n_cores: int | None) -> None:
    if n_cores is not None:  # before anything looks how many there are
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
    import recsys
    from recsys.config import settings_from

    log = recsys.read_log(str(SAMPLE / "events.parquet"))
    items = recsys.read_items(str(SAMPLE / "items.parquet"))
    found = {}
    for name in MODELS:
        settings = settings_from({"model": {"name": name}, "evaluation": {"split": "none"}})
        version = recsys.train(log, store / name, settings=settings, items=items)
        files = version.manifest.files
        found[name] = {path: files[path].sha256 for path in files}
        found[name]["data"] = version.manifest.data["fingerprint"]
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
