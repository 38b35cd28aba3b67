"""Formulas as MathML, which browsers draw by themselves: no script, and none from elsewhere."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

_LARGE = re.compile(r"\\([bB]igg?)(?![a-zA-Z])")  # docutils knows \bigl and \bigr alone
_ACCENT = re.compile(r"\\(?:tilde|hat|bar) ?\w(?=[_^])")  # whose index would be written below it


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the renderer to Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_drawn(node))
    raise nodes.SkipNode


def _displayed(translator: HTML5Translator, node: nodes.math_block) -> None:
    # Inline, and large: browsers cut the start of a block that is too wide, and scroll this one.
    formula = _drawn(node).replace("<math ", '<math displaystyle="true" ', 1)
    translator.body.append(f'<div class="formula">{formula}</div>')
    raise nodes.SkipNode


def _drawn(node: nodes.math | nodes.math_block) -> str:
    formula = _ACCENT.sub(r"\g<0>{}", _LARGE.sub(r"\\\1l", node.astext()))
    try:
        return str(tex2mathml(formula))
    except MathError as error:
        logging.getLogger(__name__).warning("%s: %s", formula, error, location=node)
        return ""
