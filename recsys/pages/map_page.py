"""The page of a map: one file with its points, which needs no other and no network."""

from html import escape
from pathlib import Path
from string import Template

from recsys.base.durable import require_place, write_or_refuse
from recsys.maps import MapPicture
from recsys.pages.map_data import MOST_BYTES, map_data
from recsys.pages.one_file import asset, one_file

_PLACE = "--out: expected to write the map"


def map_page(picture: MapPicture, most_bytes: int = MOST_BYTES) -> str:
    """Return a map as HTML.

    Parameters
    ----------
    most_bytes : int
        Of the file: what does not fit is left out, of the least popular first, and the page says
        what.
    """
    kind = picture.kind
    body = Template(asset("map.html")).substitute(
        heading=f"Map of the {kind}",
        caption=escape(picture.caption),
        placeholder=escape("Title or id" if picture.titles is not None else "Id"),
        label=escape(f"{picture.n_all:,} {kind} on a plane: what is similar is near"),
        about="\n".join(f"<p>{escape(sentence)}</p>" for sentence in _about(picture)),
    )
    title = f"Map of the {kind} of {picture.version}"
    data = map_data(picture, most_bytes)
    return one_file(title, body, styles=asset("map.css"), script=asset("map.js"), data=data)


def save_map(picture: MapPicture, path: str | Path, most_bytes: int = MOST_BYTES) -> int:
    """Write the page of a map, whole or not at all; return its bytes.

    Raises
    ------
    ConfigError
        If the file cannot be there.
    """
    path = Path(path)
    require_place(path, _PLACE)
    content = map_page(picture, most_bytes).encode()
    write_or_refuse(path, content, _PLACE)
    return len(content)


def _about(picture: MapPicture) -> list[str]:
    """Return what is to be known of a map, a sentence each."""
    kind, n = picture.kind, len(picture.ids)
    found = [f"{picture.caption}. What is similar by cosine is near; directions mean nothing."]
    if picture.strata:
        found.append(
            f"{n:,} of {picture.n_all:,} {kind} are points, a sample by strata of popularity; the "
            f"shading counts all of them. Drawn: {'; '.join(map(str, picture.strata))}."
        )
    if picture.n_without_vector:
        found.append(
            f"{kind.capitalize()} without a vector, and so without a place: "
            f"{picture.n_without_vector:,}."
        )
    return [*found, *(f"{note[:1].upper()}{note[1:]}." for note in picture.notes)]
