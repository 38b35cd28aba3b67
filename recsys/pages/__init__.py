"""Pictures and pages for people: dicts in, one file out; never fits and never measures."""
