"""What forks of this process would each load at their first use: a third of a small training.

Numba registers its types with the first compiled function that is called, and pydantic its own
with the first config; the commands are made of the signatures of their functions, which takes
most of the time of a short one; each night draws a page, and the first chart reads the fonts.
None of it starts a thread. Import this last.
"""

# ruff: noqa: F401

import matplotlib.backends.backend_svg
import matplotlib.figure
import numpy as np
import pyarrow.dataset
import pydantic
import typer.main
import typer.rich_utils

import recsys.cli
import recsys.monitoring.version_report
import recsys.pages.version_page
from recsys.base.charts import Dot, DotPlot
from recsys.base.jit import nth
from recsys.pages.charts import svg_of
from tests.choices import draw_charts_once, make_choices_once
from tests.forks import warm

nth(np.arange(3.0), 1)
pydantic.TypeAdapter(int)
commands = typer.main.get_command(recsys.cli.app)
commands.make_context("recsys", ["recommend", "u1", "-k", "3"])
typer.main.get_command = lambda app: commands  # as they are, for one process and one command
svg_of(DotPlot("chart", [Dot("dot", 1.0, is_marked=True)]))
make_choices_once()
draw_charts_once()
warm()
