"""What the pictures share: signs that can be told apart without colour, and the names of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dalib.benchmark.group import Group
from dalib.benchmark.kinds import Words
from dalib.benchmark.record import Run

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that people with any colour vision tell apart (Okabe and Ito)."""

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")
MODE_MARKERS = {"source": "^", "joint": "s", "separate": "o"}


def title(axes: Any, text: str) -> None:
    """A title at the left of its axes."""
    axes.set_title(text, fontsize=10, loc="left")


def quiet(axes: Any) -> None:
    """Axes without a frame above and at the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def percent(run: Run, checkpoint: Mapping[str, Any]) -> float:
    """The number of a checkpoint that tables show, in percent."""
    return 100 * float(checkpoint[run.headline])


def explained(words: Words) -> str:
    """A further line of a title that says what that number is, where that is not plain."""
    return f"\n{words.explained}" if words.explained else ""


def adapted_rows(group: Group) -> list[tuple[str, str]]:
    """The rows that saw no target labels."""
    return [row for row in group.rows if not group.supervised(row)]


def averaged(group: Group) -> str:
    """What a mean was taken over, in words."""
    pairs, seeds = len(group.pairs), len({run.seed for run in group.runs})
    return f"mean over {pairs} pair{'s' if pairs > 1 else ''} and {seeds} seed{'s' if seeds > 1 else ''}"


def named_points(axes: Any, points: dict[tuple[float, float], str]) -> None:
    """Names beside points, each on the side where it covers no other name and no point, if there is one."""
    axes.autoscale_view()
    places = {point: axes.transData.transform(point) for point in points}
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    pixel = axes.figure.dpi / 72
    for point, text in points.items():
        x, y = places[point]
        width, height = 4.3 * len(text) * pixel, 8 * pixel
        sides = (
            (6, 3),
            (6, -11),
            (-6 - width / pixel, 3),
            (-6 - width / pixel, -11),
            (6, 13),
            (6, -21),
            (-6 - width / pixel, 13),
        )
        boxes = [(x + a * pixel, y + b * pixel, x + a * pixel + width, y + b * pixel + height) for a, b in sides]
        free = [number for number, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken)]
        chosen = free[0] if free else 0
        taken.append(boxes[chosen])
        axes.annotate(text, point, sides[chosen], textcoords="offset points", fontsize=7)


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
