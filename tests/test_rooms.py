"""The house: a file imports from its own floor and those below; within a floor, to its left."""

import ast
from pathlib import Path

import pytest

FLOORS = {  # from the bottom up; rooms that are still to be built have their place
    "ground": ("base", "errors", "settings"),
    "data": ("objects", "vectors", "logs", "splits", "datasets", "events", "features"),
    "learning": ("cuda", "models", "evaluation", "tuning"),
    "answering": ("index", "store", "serving"),
    "running": (
        *("config", "inputs", "monitoring", "maps"),
        *("training", "selection", "one_line", "nightly"),
    ),
    "faces": ("export", "spark", "service", "client", "pages", "cli", "__main__"),
}
ROOMS = [room for rooms in FLOORS.values() for room in rooms]
FITTING = {"models", "tuning", "training", "selection", "one_line", "nightly"}
NEVER = {
    "errors": {"settings"},
    "settings": {"errors"},  # so it imports base alone
    "service": FITTING | {"evaluation", "monitoring", "config"},  # it answers, and never learns
    "client": FITTING | {"evaluation", "monitoring", "config"},  # it asks
    "pages": FITTING,  # they draw what was measured
}
PACKAGE = Path(__file__).parents[1] / "recsys"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(module: str) -> str:
    return module.split(".")[1]


def may_import(own: str, other: str) -> bool:
    is_face = other in FLOORS["faces"] and other != own
    return (
        ROOMS.index(other) <= ROOMS.index(own)
        and other not in NEVER.get(own, ())
        and not (is_face and own not in ("cli", "__main__"))
    )


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
def test_a_file_imports_from_its_floor_and_those_below(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in ROOMS, f"{own} is not a room of the house"
    for module in imported_modules(path):
        if module == "recsys":
            assert own == "cli", f"{path}: import from the room, not from the front door"
            continue
        assert may_import(own, room_of(module)), f"{path} imports {module}"


@pytest.mark.parametrize(
    ("own", "other", "is_allowed"),
    [
        ("splits", "logs", True),
        ("logs", "splits", False),  # to its right
        ("store", "models", True),  # a floor below
        ("models", "store", False),  # a floor above
        ("models", "cuda", True),
        ("cuda", "models", False),  # to its right: kernels know no model
        ("settings", "base", True),
        ("settings", "errors", False),
        ("cli", "pages", True),
        ("pages", "export", False),  # a face imports no other
        ("nightly", "pages", False),
        ("service", "serving", True),
        ("service", "models", False),
        ("pages", "evaluation", True),
        ("pages", "training", False),
    ],
)
def test_what_may_import_what(own: str, other: str, is_allowed: bool) -> None:
    assert may_import(own, other) == is_allowed


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
