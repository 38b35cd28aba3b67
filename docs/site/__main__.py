"""Build the site in build/site. The exit code is 1 where anything is wrong with it."""

import sys

from docs.site.build import build
from docs.site.pages import ROOT

if __name__ == "__main__":
    errors = build(ROOT / "build" / "site")
    for error in errors:
        print(error, file=sys.stderr)
    sys.exit(bool(errors))
