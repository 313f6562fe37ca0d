"""The README is true: its example prints what it says, and its figures are those of the record.

The example is run as it stands. The record is the file in `benchmarks/records/` that the README
names; every row of the README's table must be found there.
"""

from __future__ import annotations

import re
from pathlib import Path

from processes import run_python

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_of_the_readme_prints_what_it_says():
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (printed,) = re.findall(r"prints\n\n```\n(.*?)```", README, flags=re.DOTALL)
    assert run_python(program) == printed
    assert len(program.strip().splitlines()) <= 15


def test_the_figures_of_the_readme_are_those_of_the_record():
    (name,) = set(re.findall(r"benchmarks/records/[\w-]+\.md", README))
    record = (ROOT / name).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d-]+, \d+) \| (float\d\d) \| (.*) \|$", README, flags=re.MULTILINE)
    assert len(rows) > 10
    for net, dtype, figures in rows:
        (line,) = [line for line in record.splitlines() if f" {net} " in line and dtype in line]
        for figure in re.findall(r"[\d.]+", figures):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.])", line), (net, figure)
