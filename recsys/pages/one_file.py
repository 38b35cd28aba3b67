"""A page in one file: it holds its styles, its script and its data, and asks nobody for more."""

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>$title</title>
<link rel="icon" href="data:,">
<style>$styles</style>
</head>
<body>
$body
$data$script</body>
</html>
""")


def one_file(title: str, body: str, *, styles: str, script: str = "", data: bytes = b"") -> str:
    """Return a page that needs no other file.

    Its policy allows the styles and the script that stand in it, by their hashes, and nothing else:
    no request, no other script, no form.

    Parameters
    ----------
    title : str
        Of any characters.
    body : str
        HTML, escaped where it holds what others wrote.
    styles : str
        Beside those that all pages share.
    script : str
        A module, which reads the data from the element "data", as base64.
    """
    all_styles = f"\n{asset('page.css')}\n{styles}"
    policy = [
        "default-src 'none'",
        f"style-src {_hash_of(all_styles)}",
        f"script-src {_hash_of(script)}" if script else "script-src 'none'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    text = base64.b64encode(data).decode()
    kind = "application/octet-stream;base64"
    return _PAGE.substitute(
        policy="; ".join(policy),
        title=escape(title),
        styles=all_styles,
        body=body,
        data=f'<script type="{kind}" id="data">{text}</script>\n' if data else "",
        script=f'<script type="module">{script}</script>\n' if script else "",
    )


@cache
def asset(name: str) -> str:
    """Return a file of the pages, such as a script."""
    text = files("recsys.pages").joinpath(name).read_text("utf-8")
    if "</script" in text or "</style" in text:
        raise ValueError(f"{name}: expected no end tag in what a page holds")
    return text


def _hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
