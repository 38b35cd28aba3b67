"""A log is read in a notebook whose Python lacks ipywidgets, which DuckDB draws its bar by."""

import subprocess
import sys

KERNEL = """
import sys, types
shell = types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
sys.modules["ipywidgets"] = None
import duckdb
try:
    duckdb.connect().execute("SET enable_progress_bar = false")
    print("no notebook to DuckDB")
except duckdb.InvalidInputException:
    pass
import pandas as pd
import recsys
print(recsys.read_log(pd.DataFrame({"user_id": [1, 2], "item_id": [3, 3]})))
"""


def test_a_notebook_without_widgets_reads_a_log() -> None:
    done = subprocess.run(  # DuckDB takes only a Python without a file for a notebook
        [sys.executable, "-W", "ignore", "-c", KERNEL], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Interactions(2 events, 2 users, 1 items)\n"
