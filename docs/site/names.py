"""The reference of Python names: a page for each room, written from its docstrings."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.pycode import ModuleAnalyzer

import recsys

_NO_DOOR = ("serving", "vectors")
"""Rooms whose public names are those of `recsys` alone."""


@dataclass(frozen=True)
class Name:
    """A public name: how it is imported, what it is, and where that is written."""

    path: str
    value: Any
    room: str

    @property
    def own_name(self) -> str:
        """The last part of the name."""
        return self.path.rpartition(".")[2]

    @property
    def is_class(self) -> bool:
        """Whether it is a class."""
        return inspect.isclass(self.value)

    @property
    def is_function(self) -> bool:
        """Whether it is a function."""
        return inspect.isroutine(self.value)


def rooms() -> list[str]:
    """Return the rooms that have public names."""
    doors = [name for name in recsys.__all__ if isinstance(getattr(recsys, name), ModuleType)]
    return [*sorted({*doors, *_NO_DOOR} - {"errors"}), "errors"]


def public_names() -> list[Name]:
    """Return every public name once: at the front door, else at the door of its room."""
    front = {
        name: getattr(recsys, name)
        for name in recsys.__all__
        if not isinstance(getattr(recsys, name), ModuleType)
    }
    found = [Name(f"recsys.{name}", value, _room_of(value)) for name, value in front.items()]
    known = {id(value) for value in front.values()}
    for room in rooms():
        if room in _NO_DOOR:
            continue
        module = import_module(f"recsys.{room}")
        for name in _names_of(module):
            value = getattr(module, name)
            if id(value) not in known and not _is_scalar(value):
                known.add(id(value))
                found.append(Name(f"recsys.{room}.{name}", value, room))
    return found


def write_names(folder: Path) -> dict[str, str]:
    """Write the pages of the rooms, and return their names, each with what it says of its room."""
    by_room: dict[str, list[Name]] = {}
    for name in public_names():
        by_room.setdefault(name.room, []).append(name)
    (folder / "api").mkdir()
    for room, names in by_room.items():
        (folder / "api" / f"{room}.rst").write_text(_page(room, names), encoding="utf-8")
    return {f"api/{room}.rst": _intro(room).partition("\n\n")[0] for room in sorted(by_room)}


def _intro(room: str) -> str:
    return inspect.getdoc(import_module(f"recsys.{room}")) or ""


def _page(room: str, names: list[Name]) -> str:
    title = f"recsys.{room}"
    entries = "\n".join(_entry(name) for name in names)
    head = f"{title}\n{'=' * len(title)}\n\n.. py:module:: {title}\n\n.. currentmodule:: recsys"
    return f"{head}\n\n{_intro(room)}\n\n{entries}"


def _entry(name: Name) -> str:
    if name.is_class:
        others = [one.__name__ for one in inspect.getmro(name.value)[1:] if not is_ours(one)]
        inherited = f"   :inherited-members: {', '.join(others)}\n"
        bases = "   :show-inheritance:\n" if name.room == "errors" else ""
        return f".. autoclass:: {name.path}\n   :members:\n{inherited}{bases}"
    if name.is_function:
        return f".. autofunction:: {name.path}\n"
    text = "\n".join(f"   {line}" for line in documented(name))
    return f".. py:data:: {name.path}\n\n{text}\n"


def is_ours(value: Any) -> bool:
    """Whether something is written in recsys."""
    return str(getattr(value, "__module__", "")).split(".")[0] == "recsys"


def documented(name: Name) -> list[str]:
    """Return the docstring of a name that is no function and no class: it stands below it."""
    for module in _modules_of(name):
        docs = ModuleAnalyzer.for_module(module).find_attr_docs()
        if found := docs.get(("", name.own_name)):
            return found
    return []


def _modules_of(name: Name) -> list[str]:
    """Return the modules that may assign a name: those of its room, and of the ground."""
    package = Path(recsys.__file__).parent
    files = [path for room in (name.room, "base") for path in (package / room).glob("[!_]*.py")]
    own = [] if (package / name.room).is_dir() else [f"recsys.{name.room}"]
    return own + [f"recsys.{path.parent.name}.{path.stem}" for path in sorted(files)]


def _room_of(value: Any) -> str:
    _, room, *file = str(value.__module__).split(".")
    if room == "base":
        return "errors" if file == ["errors"] else "settings"
    return {"one_line": "selection"}.get(room, room)


def _names_of(module: ModuleType) -> list[str]:
    """Return what a room offers; one without a list offers what is written in it."""
    if listed := getattr(module, "__all__", None):
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | str)
