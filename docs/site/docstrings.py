"""What is wrong with the docstrings of public names: they are missing, or not as NumPy has them."""

import inspect
from collections.abc import Iterator
from typing import Any, TypeVar

from numpydoc.validate import validate

from docs.site.names import Name, documented, is_ours, public_names

CODES = {
    *("GL01", "GL03", "GL05", "GL06", "GL09", "GL10"),  # lines, sections, directives
    *("SS03", "SS04", "PR02", "PR05", "PR06", "PR09", "PR10", "RT04", "RT05"),
}
"""What numpydoc checks; types and entries that only repeat the annotations are not asked for."""


def wrong_docstrings() -> list[str]:
    """Return a sentence for each thing that is wrong."""
    return [sentence for name in public_names() for sentence in _of_name(name)]


def _of_name(name: Name) -> Iterator[str]:
    if not (name.is_class or name.is_function):
        if not documented(name) and not isinstance(name.value, TypeVar):
            yield f"{name.path}: expected a docstring below it, got none"
        return
    yield from _of_object(name.path, name.value)
    for member, value in inspect.getmembers(name.value) if name.is_class else ():
        is_field = member in getattr(name.value, "__dataclass_fields__", ())
        if not (member.startswith("_") or is_field) and _has_code(value):
            yield from _of_object(f"{name.path}.{member}", value)


def _has_code(value: Any) -> bool:
    """Whether a member of a class is a method or a property of ours."""
    function = value.fget if isinstance(value, property) else value
    return is_ours(function) and (inspect.isroutine(function) or isinstance(value, property))


def _of_object(path: str, value: Any) -> Iterator[str]:
    if not inspect.getdoc(value) or str(value.__doc__).startswith(f"{path.rpartition('.')[2]}("):
        yield f"{path}: expected a docstring, got none"
        return
    for code, sentence in validate(path)["errors"]:
        takes_more = code == "PR02" and "**" in str(inspect.signature(value))
        if code in CODES and not takes_more:
            yield f"{path}: {sentence} ({code})"
