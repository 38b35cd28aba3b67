"""The site: the pages of docs/ with the docstrings, commands and routes of the package, as HTML.

`python -m docs.site` builds it into build/site. It needs nothing from elsewhere, nor does a reader.
"""
