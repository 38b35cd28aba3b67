"""How Sphinx builds the site, which loads nothing from elsewhere."""

import re
from importlib.metadata import version as version_of
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from docs.site.commands import commands

COMMANDS = frozenset(commands())

project = "recsys"
author = "the recsys contributors"
project_copyright = ""
version = release = version_of("recsys-engine")

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "docs.site.mathml",
]
root_doc = "index"
html_math_renderer = "mathml"
default_role = "py:obj"
nitpicky = False  # docstrings name types of other packages, whose pages are elsewhere
smartquotes = False

myst_heading_anchors = 6
nb_execution_mode = "off"  # the tests run the tour, and keep what it shows

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "recsys"
html_context = {"default_mode": "auto"}
html_static_path = ["static"]
html_favicon = "static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_sidebars: dict[str, list[str]] = {"index": [], "from-*": []}  # code stands side by side there
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
html_domain_indices = False
html_theme_options: dict[str, Any] = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "collapse_navigation": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


class LinkNames(SphinxTransform):
    """Code in a text that is a public name, or a command, leads to where it is described."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Put a reference around each."""
        for code in list(self.document.findall(nodes.literal)):
            reference = self._reference(code.astext())
            if reference and not isinstance(code.parent, nodes.reference | addnodes.pending_xref):
                code.replace_self(reference)
                reference += code

    def _reference(self, text: str) -> nodes.Element | None:
        if name := re.fullmatch(r"(recsys(?:\.\w+)+)(?:\(.*\))?", text):
            return addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=name[1], refwarn=False
            )
        command = re.match(r"recsys ([a-z]+)\b", text)
        if command is None or command[1] not in COMMANDS or self.env.docname == "options":
            return None
        to_root = "../" * self.env.docname.count("/")
        return nodes.reference("", refuri=f"{to_root}options.html#recsys-{command[1]}")


class WithoutMail(SphinxTransform):
    """A metric such as recall@20 in a docstring is no address to write to."""

    default_priority = 502

    def apply(self, **_: Any) -> None:
        """Leave the text of such links."""
        for link in list(self.document.findall(nodes.reference)):
            if link.get("refuri", "").startswith("mailto:"):
                link.replace_self(nodes.Text(link.astext()))


class DarkPictures(SphinxTransform):
    """A picture NAME-light gives way to NAME-dark in the dark, where there is one."""

    default_priority = 210  # before Sphinx collects the pictures

    def apply(self, **_: Any) -> None:
        """Put the one for the dark behind each."""
        for light in list(self.document.findall(nodes.image)):
            dark = light["uri"].replace("-light.", "-dark.")
            if dark != light["uri"]:
                other = light.deepcopy()
                other["uri"] = dark
                light["classes"].append("only-light")
                other["classes"].append("only-dark")
                light.replace_self([light, other])


class SideBySide(SphinxTransform):
    """In a section called "Side by side" the first two pieces of code stand beside each other."""

    default_priority = 501

    def apply(self, **_: Any) -> None:
        """Put a box around them, with the line above each."""
        for section in self.document.findall(nodes.section):
            blocks = [one for one in section.children if isinstance(one, nodes.literal_block)]
            if section[0].astext() != "Side by side" or len(blocks) < 2:
                continue
            columns = [(section[section.index(block) - 1], block) for block in blocks[:2]]
            place = section.index(columns[0][0])
            for node in (one for column in columns for one in column):
                section.remove(node)
            boxes = [nodes.container("", *column) for column in columns]
            section.insert(place, nodes.container("", *boxes, classes=["side-by-side"]))


def without_numbers(_app: Sphinx, _kind: str, _name: str, value: Any, *_: Any) -> bool | None:
    """Leave out the fields of a NamedTuple, of which Python says the number and no more."""
    is_number = str(getattr(value, "__doc__", "")).startswith("Alias for field number")
    return True if is_number else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Add what is ours to Sphinx."""
    for transform in (DarkPictures, LinkNames, SideBySide, WithoutMail):
        app.add_transform(transform)
    app.connect("autodoc-skip-member", without_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
