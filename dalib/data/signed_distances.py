"""Shapes as signed distances, for drawings: negative inside, zero on the edge, positive outside.

Every function takes the coordinates ``x`` (to the right) and ``y`` (downwards), arrays of one shape, and numbers; it
returns an array of that shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def disc(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    """A filled circle.

    Example:
        >>> disc(np.float32([0, 3]), np.float32([0, 4]), 0, 0, 1).tolist()
        [-1.0, 4.0]
    """
    distance: Array = np.hypot(x - cx, y - cy) - radius
    return distance


def ring(x: Array, y: Array, cx: float, cy: float, radius: float, half_width: float) -> Array:
    """The line of a circle."""
    distance: Array = np.abs(np.hypot(x - cx, y - cy) - radius) - half_width
    return distance


def ellipse(x: Array, y: Array, cx: float, cy: float, width: float, height: float) -> Array:
    """A filled ellipse with the half axes ``width`` and ``height``; exact on its edge, approximate elsewhere."""
    distance: Array = (np.hypot((x - cx) / width, (y - cy) / height) - 1) * min(width, height)
    return distance


def dome(x: Array, y: Array, cx: float, cy: float, width: float, height: float) -> Array:
    """The upper half of an ellipse."""
    distance: Array = np.maximum(ellipse(x, y, cx, cy, width, height), y - cy)
    return distance


def arch(x: Array, y: Array, cx: float, cy: float, radius: float, half_width: float) -> Array:
    """The upper half of a ring, with round ends."""
    ends = np.hypot(np.abs(x - cx) - radius, y - cy) - half_width
    distance: Array = np.where(y <= cy, ring(x, y, cx, cy, radius, half_width), ends)
    return distance


def box(x: Array, y: Array, cx: float, cy: float, width: float, height: float, radius: float = 0.0) -> Array:
    """A rectangle with half sides ``width`` and ``height``, its corners rounded by ``radius``."""
    dx, dy = np.abs(x - cx) - (width - radius), np.abs(y - cy) - (height - radius)
    distance: Array = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - radius
    return distance


def line(x: Array, y: Array, x0: float, y0: float, x1: float, y1: float, half_width: float) -> Array:
    """A straight stroke with round ends.

    Example:
        >>> line(np.float32([1, 5]), np.float32([2, 0]), 0, 0, 2, 0, 0.5).tolist()
        [1.5, 2.5]
    """
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    distance: Array = np.hypot(x - x0 - along * dx, y - y0 - along * dy) - half_width
    return distance


def grid(
    x: Array, y: Array, cx: float, cy: float, columns: int, rows: int, step_x: float, step_y: float,
    width: float, height: float,
) -> Array:  # fmt: skip
    """``columns`` times ``rows`` boxes around a centre, ``step_x`` and ``step_y`` apart."""
    half_columns, half_rows = (columns - 1) / 2, (rows - 1) / 2
    column = np.clip(np.round((x - cx) / step_x + half_columns), 0, columns - 1) - half_columns
    row = np.clip(np.round((y - cy) / step_y + half_rows), 0, rows - 1) - half_rows
    return box(x - column * step_x, y - row * step_y, cx, cy, width, height)


def polygon(x: Array, y: Array, *corners: tuple[float, float]) -> Array:
    """A convex polygon, corners clockwise as seen; exact on its edge, approximate outside its corners."""
    distance: Array = np.full_like(x, -np.inf)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = float(np.hypot(x1 - x0, y1 - y0))
        distance = np.maximum(distance, ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length)
    return distance
