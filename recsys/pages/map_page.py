"""The page of a map: one file with its points, which needs no other and no network."""

from html import escape
from pathlib import Path
from string import Template

from recsys.base.durable import replaced, require_place
from recsys.maps import MapPicture
from recsys.pages.map_data import MOST_BYTES, map_data
from recsys.pages.one_file import asset, one_file


def map_page(picture: MapPicture, most_bytes: int = MOST_BYTES) -> str:
    """Return a map as HTML.

    Parameters
    ----------
    most_bytes : int
        Of the file: what does not fit is left out, of the least popular first, and the page says
        what.
    """
    kind, single = picture.kind, picture.kind[:-1]
    body = Template(asset("map.html")).substitute(
        heading=f"Map of the {kind}",
        caption=escape(picture.caption),
        placeholder=escape("Title or id" if picture.titles is not None else f"Id of a {single}"),
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
    require_place(path, "--out: expected to write the map")
    content = map_page(picture, most_bytes).encode()
    with replaced(path) as aside:
        aside.write_bytes(content)
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
        found.append(f"{picture.n_without_vector:,} {kind} have no vector, and no place.")
    return [*found, *(f"{note[:1].upper()}{note[1:]}." for note in picture.notes)]
