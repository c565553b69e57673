"""Writes parts of docs/performance.md, each between two comments that name it."""
import sys

from .servers import ROOT

PAGE = ROOT / "docs" / "performance.md"


def table(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def write(name, text):
    began, ends = f"<!-- {name}: `make bench` or `make growth` writes this -->\n", f"<!-- end of {name} -->"
    page = PAGE.read_text()
    if page.count(began) != 1 or page.count(ends) != 1:
        sys.exit(f"{PAGE} has no place for {name}")
    before, rest = page.split(began)
    PAGE.write_text(before + began + "\n" + text + "\n" + ends + rest.split(ends)[1])
