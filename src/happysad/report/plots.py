"""Plots as SVG for the inside of a page: no background, text and lines in the colour of the page's text."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from happysad.errors import MissingExtraError

Json = dict[str, Any]
HAPPY, SAD, THIRD = "#d98200", "#3f7fd9", "#3f9a5f"
INK, FAINT = "#010203", "#808080"  # INK is replaced by the colour of the page's text

_STYLE: Json = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor"), INK),
}


def _svg(name: str, alt: str, draw: Callable[[Any], None], size: tuple[float, float] = (4.2, 3.4)) -> str:
    """The plot that ``draw`` makes on matplotlib axes, as ``<svg>`` with alternative text."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "to draw plots", 'pip install "happysad[report]"') from None
    style: Any = _STYLE | {"svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'\bid="(?!p|m|h)', f'id="{name}-', svg)  # names of clips and markers are hashes already
    label = html.escape(alt, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" class="plot" ', 1)


def curve(name: str, alt: str, points: Sequence[Sequence[float]], labels: tuple[str, str], diagonal: bool = False) -> str:
    """A curve in the unit square."""

    def draw(axes: Any) -> None:
        if diagonal:
            axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
        axes.plot(*zip(*points, strict=True), color=HAPPY, linewidth=2)
        axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))

    return _svg(name, alt, draw)


def risk_coverage(alt: str, points: Sequence[Sequence[float]]) -> str:
    """Share of errors over the share of answers that are kept."""

    def draw(axes: Any) -> None:
        axes.plot(*zip(*points, strict=True), color=HAPPY, linewidth=2)
        axes.set(xlabel="share of answers kept, most confident first", ylabel="share of errors among them", xlim=(0, 1.01))
        axes.set_ylim(bottom=0)

    return _svg("risk", alt, draw)


def reliability(name: str, alt: str, bins: dict[str, Sequence[Json]], least: float = 0.0) -> str:
    """What was promised against what came true, one line per class, with intervals."""
    colours = {"happy": HAPPY, "sad": SAD, "neutral": FAINT, "other": THIRD, "confidence": HAPPY}

    def draw(axes: Any) -> None:
        axes.plot([least, 1], [least, 1], color=FAINT, linewidth=1, linestyle=":")
        for label, rows in bins.items():
            x, y = [row["promised"] for row in rows], [row["true"] for row in rows]
            down, up = [row["true"] - row["low"] for row in rows], [row["high"] - row["true"] for row in rows]
            axes.errorbar(x, y, yerr=[down, up], color=colours[label], marker="o", markersize=3.5, linewidth=1.2, label=label)
        axes.set(xlabel="promised", ylabel="came true", xlim=(least - 0.01, 1.01), ylim=(least - 0.05, 1.03))
        if len(bins) > 1:
            axes.legend(frameon=False, labelcolor=INK, fontsize=9)

    return _svg(name, alt, draw)


def histogram(name: str, alt: str, counts: Json, labels: tuple[str, str], x: str) -> str:
    """How often each score was given to both classes."""

    def draw(axes: Any) -> None:
        edges = counts["edges"]
        for values, colour, label in ((counts["yes"], HAPPY, labels[0]), (counts["no"], SAD, labels[1])):
            axes.stairs(values, edges, color=colour, fill=True, alpha=0.35)
            axes.stairs(values, edges, color=colour, linewidth=1.5, label=label)
        axes.set(xlabel=x, ylabel="faces", xlim=(0, 1))
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)

    return _svg(name, alt, draw)


def subgroups(name: str, alt: str, rows: Sequence[tuple[str, Json]], x: str) -> str:
    """One estimate per subgroup, with its interval."""

    def draw(axes: Any) -> None:
        for height, (_, one) in enumerate(reversed(rows)):
            axes.plot([one["low"], one["high"]], [height, height], color=SAD, linewidth=2, solid_capstyle="butt")
            axes.plot([one["value"]], [height], color=HAPPY, marker="o", markersize=7)
        axes.set_yticks(range(len(rows)), [f"{label} (n = {one['n']:,})" for label, one in reversed(rows)])
        axes.set(xlabel=x, ylim=(-0.6, len(rows) - 0.4))
        axes.grid(axis="x", color=FAINT, alpha=0.3)

    return _svg(name, alt, draw, (6.4, 0.9 + 0.34 * len(rows)))


def learning(alt: str, epochs: Sequence[Json]) -> str:
    """The loss and every figure between 0 and 1 of each epoch."""
    names = [key for key in epochs[0] if key not in ("epoch", "seconds", "loss")]

    def draw(axes: Any) -> None:
        for key in names:
            axes.plot([row["epoch"] for row in epochs], [row.get(key) for row in epochs], linewidth=1.5, label=key)
        axes.set(xlabel="epoch", ylabel="on valid rows")
        axes.legend(frameon=False, labelcolor=INK, fontsize=8)
        loss = axes.twinx()
        loss.plot(
            [row["epoch"] for row in epochs], [row.get("loss") for row in epochs], color=FAINT, linestyle="--", linewidth=1.2
        )
        loss.set_ylabel("loss (dashed)")

    return _svg("learning", alt, draw, (6.4, 3.6))


def stress(name: str, alt: str, levels: Sequence[Json], undamaged: Json) -> str:
    """Accuracy, share of certain answers and share of certain errors, from undamaged to severe."""

    def draw(axes: Any) -> None:
        steps = [undamaged, *levels]
        labels = ["none", *(f"{level['level']:g}" for level in levels)]
        for key, colour, label in (
            ("accuracy", HAPPY, "right"),
            ("certain", SAD, "certain"),
            ("certain_errors", THIRD, "certain and wrong"),
        ):
            axes.plot(
                range(len(steps)), [step[key]["value"] for step in steps], color=colour, marker="o", markersize=4, label=label
            )
        axes.set_xticks(range(len(steps)), labels)
        axes.set(ylim=(-0.03, 1.03), title=name)
        axes.title.set_fontsize(10)

    return _svg("stress-" + re.sub(r"\W+", "-", name), alt, draw, (2.5, 2.1))
