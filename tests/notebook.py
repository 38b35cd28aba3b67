"""Notebooks without Jupyter: cells run in order, and what they show is kept as Jupyter keeps it.

`python -m tests.notebook docs/tour.ipynb` runs a notebook in its folder and writes what it shows.
"""

import ast
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any


class Notebook:
    """One file of cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = json.loads(path.read_text(encoding="utf-8"))

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The cells of code."""
        return [cell for cell in self.content["cells"] if cell["cell_type"] == "code"]

    @property
    def text(self) -> str:
        """What is written between the cells of code."""
        cells = [cell for cell in self.content["cells"] if cell["cell_type"] == "markdown"]
        return "\n\n".join("".join(cell["source"]) for cell in cells)

    def run(self) -> list[list[dict[str, Any]]]:
        """Run the cells of code in one namespace, and return the outputs of each."""
        names: dict[str, Any] = {"__name__": "__main__"}
        return [
            _run("".join(cell["source"]), names, number)
            for number, cell in enumerate(self.cells, start=1)
        ]

    def write(self, outputs: list[list[dict[str, Any]]]) -> None:
        """Keep what the cells have shown."""
        for number, (cell, shown) in enumerate(zip(self.cells, outputs, strict=True), start=1):
            cell["execution_count"], cell["outputs"] = number, shown
        text = json.dumps(self.content, indent=1, ensure_ascii=False)
        self.path.write_text(f"{text}\n", encoding="utf-8")


def texts_of(outputs: list[dict[str, Any]]) -> str:
    """Return what a cell has shown, as text."""
    return "\n".join(
        "".join(one["text"] if "text" in one else one["data"]["text/plain"]) for one in outputs
    )


def _run(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run a cell; its last line, where it is an expression, is shown."""
    tree = ast.parse(source, f"cell {number}")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)  # noqa: S102
        value = last and eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        outputs.append(
            {
                "data": data,
                "execution_count": number,
                "metadata": {},
                "output_type": "execute_result",
            }
        )
    return outputs


if __name__ == "__main__":
    notebook = Notebook(Path(sys.argv[1]).resolve())
    os.chdir(notebook.path.parent)
    notebook.write(notebook.run())
