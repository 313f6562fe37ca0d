"""The pictures in docs/pictures, drawn from the records: ``python benchmarks/pictures.py RECORD.json ...``.

A benchmark that writes a record draws its picture from it; nothing is measured here. The colours are
those of Okabe and Ito, which differ for colour-blind readers too; every colour has its own marker.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"

BLUE, GREEN, PURPLE, VERMILION = "#0072B2", "#009E73", "#CC79A7", "#D55E00"
GREY = "#666666"
CURVES = ((BLUE, "o"), (GREEN, "s"), (PURPLE, "^"))
DTYPES = ("float64", "float32")

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
}
LEGEND: dict[str, Any] = {
    "frameon": False,
    "handletextpad": 0.3,
    "columnspacing": 1.2,
    "borderaxespad": 0.2,
    "fontsize": 9,
}

# Of the sweep: how pairs beyond the limit are shown, and what the sizes are.
BEYOND = {"cliff": VERMILION, "fixed cost": "#c8c8c8"}
AXES = {
    "width": "width w of a net w-w-w",
    "batch": "batch, samples",
    "layers": "number of layers",
}

# Of the race.
NAMES = {"numpy": "NumPy", "sklearn": "scikit-learn", "torch": "PyTorch", "jax": "JAX"}
KINDS = (
    (BLUE, "o", "float64"),
    (GREEN, "s", "float32"),
    (VERMILION, "X", "slower than the peer"),
)
TICKS = (0.125, 0.25, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 16, 32, 64)


def draw(record: dict[str, Any]) -> Path:
    """Draw the picture of a record; return its path."""
    is_sweep = "pairs" in record
    with mpl.rc_context(STYLE):
        figure = sweep(record) if is_sweep else engine(record)
        path = PICTURES / ("sweep.png" if is_sweep else "engine.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without its version, the same record gives the same file.
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)
    return path


def sweep(record: dict[str, Any]) -> Figure:
    """Speed over sizes: one column for each sweep, one row for each dtype."""
    axes_of = list(dict.fromkeys(row["axis"] for row in record["results"]))
    figure, grid = plt.subplots(
        len(DTYPES), len(axes_of), figsize=(12, 7), sharex="col", sharey=True, squeeze=False
    )
    figure.subplots_adjust(left=0.06, right=0.985, top=0.885, bottom=0.11, wspace=0.06, hspace=0.1)
    for row, dtype in zip(grid, DTYPES, strict=True):
        for axes, name in zip(row, axes_of, strict=True):
            _sweep_panel(axes, record, name, dtype)
        row[0].set_ylabel(f"{dtype}: speed of a step, GF/s")
    for axes in grid[0]:
        axes.legend(loc="lower right", **LEGEND)
    for axes, name in zip(grid[-1], axes_of, strict=True):
        axes.set_xlabel(AXES[name])
    _title(figure, "How fast a training step is, over its size", _cliff_line(record))
    _footer(figure, record)
    return figure


def _sweep_panel(axes: Axes, record: dict[str, Any], name: str, dtype: str) -> None:
    rows = [row for row in record["results"] if (row["axis"], row["dtype"]) == (name, dtype)]
    speed = {(row["fixed"], row["size"]): row["gflops"] for row in rows}
    for fixed, (color, marker) in zip(
        dict.fromkeys(row["fixed"] for row in rows), CURVES, strict=True
    ):
        sizes = [row["size"] for row in rows if row["fixed"] == fixed]
        speeds = [speed[fixed, size] for size in sizes]
        axes.plot(sizes, speeds, color=color, marker=marker, ms=3, lw=1.1, label=fixed)
    for pair in record["pairs"]:
        if (pair["axis"], pair["dtype"]) == (name, dtype) and pair["kind"] in BEYOND:
            speeds = [speed[pair["fixed"], size] for size in pair["sizes"]]
            axes.plot(pair["sizes"], speeds, color=BEYOND[pair["kind"]], lw=5, zorder=1.5)
    peak = record["machine"]["peak_fma_gflops"][dtype]
    axes.axhline(peak, color=GREY, lw=1, ls=(0, (5, 3)))
    axes.annotate(
        f"peak of the machine, {peak:.0f} GF/s",
        (1, peak),
        xytext=(0, 3),
        textcoords="offset points",
        color=GREY,
        fontsize=8,
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    largest = max(row["size"] for row in rows)
    step = 1 if largest < 100 else 2 if largest < 10_000 else 4
    ticks = [2**i for i in range(0, largest.bit_length(), step)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}".replace(",", " ")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda speed, _: f"{speed:g}"))


def _cliff_line(record: dict[str, Any]) -> str:
    n = {kind: sum(pair["kind"] == kind for pair in record["pairs"]) for kind in BEYOND}
    return (
        f"Thick: neighbours whose cost per operation differs by more than {record['limit']}×, "
        f"{sum(n.values())} of {len(record['pairs'])} pairs. Orange: cliffs ({n['cliff']}); "
        f"grey: a fixed cost spread over more work ({n['fixed cost']})"
    )


def engine(record: dict[str, Any]) -> Figure:
    """How many times faster than the best peer `train` is, in every cell and dtype."""
    results = record["results"]
    cells = list(dict.fromkeys(row["net"] for row in results))
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.56 * len(cells)))
    figure.subplots_adjust(left=0.235, right=0.84, top=1 - 1.0 / figure.get_figheight())
    figure.subplots_adjust(bottom=0.75 / figure.get_figheight())
    for row in results:
        y = cells.index(row["net"]) + (-0.19 if row["dtype"] == DTYPES[0] else 0.19)
        _engine_point(axes, row, y)
    for i in range(0, len(cells), 2):
        axes.axhspan(i - 0.5, i + 0.5, color="#f5f5f5", lw=0, zorder=0)
    axes.axvline(1, color="black", lw=1.2, zorder=2)
    for text, side in (("slower  ", "right"), ("  faster", "left")):
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "ha": side, "va": "bottom"}
        axes.annotate(text, (1, 1.01), **place, fontsize=8, color=GREY)
    place = {"xycoords": "axes fraction", "va": "bottom", "fontsize": 8, "color": GREY}
    axes.annotate("layers, batch", (-0.01, 1.01), **place, ha="right")
    axes.annotate("fastest peer", (1.01, 1.01), **place)
    axes.set_xscale("log", base=2)
    ratios = [edge for row in results for edge in (*row["ratio_quartiles"], row["ratio"])]
    axes.set_xlim(min(0.5, *ratios) / 1.1, max(4.0, *ratios) * 1.1)
    ticks = [tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
    axes.set_xlabel("time of a step of the fastest peer / time of ironprop's (log scale)")
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_yticks(range(len(cells)), cells)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    lost = sum(row["ratio"] < 1 for row in results)
    subtitle = f"Against the fastest of {_list(record['versions'])}: "
    subtitle += (
        f"faster in {len(results) - lost} of {len(results)} cells (bars: quartiles of the rounds)"
    )
    _title(figure, "How many times faster ironprop trains", subtitle)
    handles = [Line2D([], [], color=c, marker=m, ls="", ms=6, label=label) for c, m, label in KINDS]
    figure.legend(handles=handles, loc="upper right", ncols=3, **LEGEND)
    _footer(figure, record)
    return figure


def _engine_point(axes: Axes, row: dict[str, Any], y: float) -> None:
    color, marker, _ = KINDS[2] if row["ratio"] < 1 else KINDS[DTYPES.index(row["dtype"])]
    axes.plot(row["ratio_quartiles"], [y, y], color=color, lw=1.6, solid_capstyle="butt")
    axes.plot(row["ratio"], y, color=color, marker=marker, ms=7)
    note = f"{row['ratio']:.2f}×  {row['best peer']}"
    axes.annotate(
        note,
        (1.01, y),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8,
        color=color if row["ratio"] < 1 else "black",
        annotation_clip=False,
    )


def _list(versions: dict[str, str]) -> str:
    names = [NAMES[name] for name in versions]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _title(figure: Figure, title: str, subtitle: str) -> None:
    figure.text(0.012, 0.985, title, va="top", fontsize=13, fontweight="bold")
    figure.text(0.012, 0.945, subtitle, va="top", fontsize=9.5, color=GREY)


def _footer(figure: Figure, record: dict[str, Any]) -> None:
    facts = record["machine"]
    ours = facts["ironprop"]
    text = f"{facts['cpu']}, {facts['cores_allowed']} cores, {ours['level']}; "
    text += f"ironprop {ours['version']}; {record['date']}"
    figure.text(0.985, 0.012, text, ha="right", fontsize=8, color=GREY)


def main() -> None:
    for path in sys.argv[1:]:
        print(draw(json.loads(Path(path).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
