"""The command line: thin commands over the library.

Exit codes: 0 done, 1 refused (bad data, a gate), 2 usage. One line on stderr per error that we
know; results go to stdout, progress to stderr.
"""

from recsys.cli import ask, compare, config, select, serve, store, train
from recsys.cli.app import app, main

__all__ = ["app", "ask", "compare", "config", "main", "select", "serve", "store", "train"]
