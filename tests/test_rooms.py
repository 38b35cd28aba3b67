"""The house: a module imports only from its own room and from rooms above it."""

import ast
from pathlib import Path

import pytest

ROOMS = [
    "base",  # the ground
    "vectors",  # data
    "logs",
    "splits",
    "datasets",
    "models",  # learning
    "evaluation",
    "tuning",
    "index",  # answering
    "store",
    "serving",
    "monitoring",  # running
    "config",
    "training",
    "selection",
    "nightly",
    "pages",  # faces
    "export",
    "cli",
    "errors",
    "__main__",
]
PACKAGE = Path(__file__).parents[1] / "recsys"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(module: str) -> str:
    return module.split(".")[1]


def imported_modules(path: Path) -> set[str]:
    """Every recsys module that a file imports, also inside functions and type-checking blocks."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return {name for name in found if name == "recsys" or name.startswith("recsys.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_upwards_only(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in ROOMS, f"{own} is not a room of the house"
    for module in imported_modules(path):
        assert module != "recsys", f"{path}: import from the room, not from the front door"
        assert ROOMS.index(room_of(module)) <= ROOMS.index(own), f"{path} imports {module}"


def test_the_check_sees_an_import(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from recsys.serving import open\n")
    assert imported_modules(file) == {"recsys.serving"}


def test_modules_fit_in_the_head() -> None:
    too_long = {
        str(path.relative_to(PACKAGE)): lines
        for path in MODULES
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not too_long
