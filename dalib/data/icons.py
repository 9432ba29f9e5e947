"""The 31 objects of Office-31 as small drawings: each is a list of parts, painted one over the other.

A part is a tone, a shape of :mod:`dalib.data.signed_distances` and its numbers; the drawing fills the square from -1 to
1, ``y`` downwards. ``body`` and ``accent`` are two colours of the single object, the other tones are near fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dalib.data.signed_distances import arch, box, disc, dome, ellipse, grid, line, polygon, ring

TONES = ("body", "accent", "dark", "light", "metal")
Part = tuple[str, Callable[..., Any], tuple[Any, ...]]


def _parts(*parts: tuple[Any, ...]) -> tuple[Part, ...]:
    return tuple((tone, shape, numbers) for tone, shape, *rest in parts for numbers in [tuple(rest)])


ICONS: dict[str, tuple[Part, ...]] = {
    "back_pack": _parts(
        ("dark", ring, 0, -0.62, 0.2, 0.07),
        ("dark", line, -0.62, -0.1, -0.62, 0.55, 0.1), ("dark", line, 0.62, -0.1, 0.62, 0.55, 0.1),
        ("body", box, 0, 0.12, 0.58, 0.72, 0.3),
        ("accent", box, 0, 0.42, 0.4, 0.3, 0.1), ("dark", box, 0, 0.3, 0.4, 0.05),
        ("dark", line, -0.3, -0.2, 0.3, -0.2, 0.04),
    ),
    "bike": _parts(
        ("dark", ring, -0.54, 0.32, 0.36, 0.065), ("dark", ring, 0.54, 0.32, 0.36, 0.065),
        ("body", line, -0.54, 0.32, -0.22, -0.2, 0.06), ("body", line, -0.22, -0.2, 0.34, -0.2, 0.06),
        ("body", line, 0.34, -0.2, -0.04, 0.32, 0.06), ("body", line, -0.04, 0.32, -0.54, 0.32, 0.06),
        ("body", line, -0.28, -0.36, -0.04, 0.32, 0.06), ("body", line, 0.54, 0.32, 0.3, -0.48, 0.06),
        ("dark", line, 0.28, -0.52, 0.54, -0.56, 0.06), ("dark", line, -0.44, -0.4, -0.14, -0.4, 0.08),
    ),
    "bike_helmet": _parts(
        ("dark", line, -0.55, 0.2, -0.05, 0.75, 0.05), ("dark", line, 0.35, 0.2, -0.05, 0.75, 0.05),
        ("body", dome, 0, 0.25, 0.85, 0.85), ("accent", box, 0.08, 0.24, 0.88, 0.09, 0.08),
        ("dark", line, -0.5, 0.02, -0.32, -0.28, 0.08), ("dark", line, -0.08, 0.02, -0.02, -0.38, 0.08),
        ("dark", line, 0.34, 0.02, 0.28, -0.28, 0.08),
    ),
    "bookcase": _parts(
        ("body", box, 0, 0, 0.66, 0.9), ("dark", grid, 0, 0, 1, 3, 1, 0.57, 0.55, 0.23),
        ("accent", grid, -0.3, -0.53, 2, 1, 0.22, 1, 0.08, 0.18),
        ("light", grid, 0.22, -0.52, 2, 1, 0.22, 1, 0.08, 0.17),
        ("light", grid, -0.25, 0.03, 3, 1, 0.2, 1, 0.07, 0.18), ("accent", line, 0.25, 0.15, 0.38, -0.12, 0.07),
        ("accent", grid, 0.2, 0.6, 3, 1, 0.2, 1, 0.07, 0.17),
    ),
    "bottle": _parts(
        ("body", box, 0, 0.32, 0.34, 0.6, 0.14),
        ("body", polygon, (-0.14, -0.5), (0.14, -0.5), (0.3, -0.12), (-0.3, -0.12)),
        ("body", box, 0, -0.6, 0.13, 0.25), ("dark", box, 0, -0.84, 0.17, 0.1, 0.04),
        ("light", box, 0, 0.35, 0.34, 0.22),
    ),
    "calculator": _parts(
        ("body", box, 0, 0, 0.56, 0.86, 0.1), ("light", box, 0, -0.54, 0.42, 0.18),
        ("dark", grid, -0.12, 0.26, 3, 4, 0.25, 0.27, 0.08, 0.08),
        ("accent", grid, 0.38, 0.26, 1, 4, 1, 0.27, 0.07, 0.08),
    ),
    "desk_chair": _parts(
        ("dark", line, 0, 0.1, 0, 0.6, 0.07), ("dark", line, 0, 0.55, -0.5, 0.74, 0.06),
        ("dark", line, 0, 0.55, 0.5, 0.74, 0.06),
        ("dark", disc, -0.52, 0.82, 0.11), ("dark", disc, 0, 0.82, 0.11), ("dark", disc, 0.52, 0.82, 0.11),
        ("dark", line, -0.62, 0.05, -0.62, -0.2, 0.06), ("dark", line, 0.62, 0.05, 0.62, -0.2, 0.06),
        ("body", box, 0, -0.48, 0.42, 0.44, 0.16), ("body", box, 0, 0.14, 0.58, 0.13, 0.1),
    ),
    "desk_lamp": _parts(
        ("dark", dome, -0.25, 0.88, 0.45, 0.22), ("metal", line, -0.25, 0.75, -0.58, 0.05, 0.06),
        ("metal", line, -0.58, 0.05, 0.08, -0.6, 0.06), ("dark", disc, -0.58, 0.05, 0.1),
        ("light", disc, 0.44, -0.16, 0.2),
        ("body", polygon, (0.08, -0.85), (0.82, -0.3), (0.28, 0.1), (-0.12, -0.62)),
    ),
    "desktop_computer": _parts(
        ("body", box, 0.6, 0.02, 0.32, 0.8, 0.05), ("dark", grid, 0.6, -0.5, 1, 2, 1, 0.2, 0.22, 0.05),
        ("accent", disc, 0.6, 0.4, 0.1), ("dark", box, -0.38, -0.22, 0.54, 0.44, 0.05),
        ("light", box, -0.38, -0.22, 0.43, 0.33),
        ("dark", box, -0.38, 0.32, 0.08, 0.14), ("dark", box, -0.38, 0.46, 0.28, 0.06),
        ("metal", box, -0.38, 0.74, 0.5, 0.1),
    ),
    "file_cabinet": _parts(
        ("body", box, 0, 0, 0.56, 0.9, 0.04), ("dark", grid, 0, 0, 1, 2, 1, 0.58, 0.56, 0.035),
        ("light", grid, 0, -0.1, 1, 3, 1, 0.58, 0.17, 0.06), ("dark", grid, 0, 0.08, 1, 3, 1, 0.58, 0.25, 0.035),
    ),
    "headphones": _parts(
        ("dark", arch, 0, 0.1, 0.66, 0.09), ("body", box, -0.66, 0.4, 0.2, 0.4, 0.15),
        ("body", box, 0.66, 0.4, 0.2, 0.4, 0.15),
        ("accent", box, -0.5, 0.4, 0.09, 0.32, 0.06), ("accent", box, 0.5, 0.4, 0.09, 0.32, 0.06),
    ),
    "keyboard": _parts(
        ("body", box, 0, 0, 0.97, 0.42, 0.07), ("light", grid, 0, -0.14, 8, 2, 0.225, 0.24, 0.08, 0.085),
        ("light", box, 0, 0.26, 0.45, 0.08), ("light", grid, 0, 0.26, 2, 1, 1.5, 1, 0.12, 0.08),
    ),
    "laptop_computer": _parts(
        ("dark", box, 0, -0.28, 0.7, 0.5, 0.06), ("light", box, 0, -0.28, 0.58, 0.38),
        ("body", polygon, (-0.7, 0.24), (0.7, 0.24), (0.96, 0.7), (-0.96, 0.7)),
        ("dark", polygon, (-0.58, 0.32), (0.58, 0.32), (0.66, 0.46), (-0.66, 0.46)),
        ("accent", box, 0, 0.59, 0.2, 0.06),
    ),
    "letter_tray": _parts(
        ("dark", box, -0.82, 0.05, 0.05, 0.7), ("dark", box, 0.82, 0.05, 0.05, 0.7),
        ("light", grid, 0.05, 0, 1, 3, 1, 0.55, 0.6, 0.1), ("body", grid, 0, 0.15, 1, 3, 1, 0.55, 0.87, 0.075),
    ),
    "mobile_phone": _parts(
        ("body", box, 0, 0, 0.42, 0.86, 0.16), ("light", box, 0, -0.1, 0.32, 0.52), ("dark", disc, 0, 0.64, 0.11),
        ("dark", line, -0.1, -0.74, 0.1, -0.74, 0.04),
    ),
    "monitor": _parts(
        ("metal", polygon, (-0.12, 0.3), (0.12, 0.3), (0.22, 0.7), (-0.22, 0.7)),
        ("dark", box, 0, 0.74, 0.45, 0.08, 0.05),
        ("dark", box, 0, -0.18, 0.92, 0.62, 0.06), ("light", box, 0, -0.18, 0.8, 0.5),
    ),
    "mouse": _parts(
        ("dark", line, 0, -0.5, 0.25, -0.92, 0.05), ("body", ellipse, 0, 0.14, 0.5, 0.7),
        ("dark", line, -0.46, -0.08, 0.46, -0.08, 0.035), ("dark", line, 0, -0.52, 0, -0.08, 0.035),
        ("accent", box, 0, -0.3, 0.09, 0.15, 0.08),
    ),
    "mug": _parts(
        ("body", ring, 0.48, 0.1, 0.3, 0.1), ("body", box, -0.15, 0.15, 0.52, 0.65, 0.14),
        ("light", ellipse, -0.15, -0.48, 0.52, 0.17), ("dark", ellipse, -0.15, -0.46, 0.4, 0.1),
    ),
    "paper_notebook": _parts(
        ("accent", box, 0.1, 0.04, 0.66, 0.84, 0.05), ("light", box, 0.06, 0, 0.62, 0.82, 0.03),
        ("body", grid, 0.14, 0, 1, 6, 1, 0.25, 0.44, 0.035), ("dark", grid, -0.54, 0, 1, 7, 1, 0.23, 0.13, 0.05),
    ),
    "pen": _parts(
        ("dark", line, -0.7, 0.7, -0.85, 0.85, 0.05), ("metal", line, -0.55, 0.55, -0.7, 0.7, 0.1),
        ("body", line, -0.5, 0.5, 0.55, -0.55, 0.15), ("accent", line, 0.45, -0.45, 0.72, -0.72, 0.15),
        ("light", line, 0.25, -0.4, 0.55, -0.7, 0.05),
    ),
    "phone": _parts(
        ("body", polygon, (-0.5, -0.2), (0.5, -0.2), (0.86, 0.78), (-0.86, 0.78)),
        ("light", grid, 0, 0.38, 3, 3, 0.28, 0.25, 0.1, 0.08),
        ("dark", line, -0.6, -0.52, 0.6, -0.52, 0.15), ("dark", box, -0.72, -0.36, 0.2, 0.24, 0.12),
        ("dark", box, 0.72, -0.36, 0.2, 0.24, 0.12),
    ),
    "printer": _parts(
        ("light", polygon, (-0.4, -0.88), (0.4, -0.88), (0.48, -0.2), (-0.48, -0.2)),
        ("body", box, 0, 0.12, 0.88, 0.42, 0.08),
        ("dark", box, 0, 0.34, 0.62, 0.07), ("light", polygon, (-0.5, 0.36), (0.5, 0.36), (0.6, 0.82), (-0.6, 0.82)),
        ("accent", disc, 0.64, -0.04, 0.09), ("dark", box, -0.05, -0.22, 0.6, 0.05),
    ),
    "projector": _parts(
        ("dark", grid, 0, 0.54, 2, 1, 1.2, 1, 0.12, 0.1), ("body", box, 0, 0.05, 0.92, 0.44, 0.14),
        ("metal", disc, 0.38, 0.05, 0.4), ("dark", disc, 0.38, 0.05, 0.31), ("accent", disc, 0.38, 0.05, 0.17),
        ("light", disc, 0.3, -0.05, 0.08), ("dark", grid, -0.5, 0.05, 1, 3, 1, 0.2, 0.24, 0.04),
    ),
    "punchers": _parts(
        ("metal", grid, 0, 0.12, 2, 1, 0.9, 1, 0.1, 0.3), ("dark", box, 0, 0.52, 0.9, 0.24, 0.08),
        ("light", grid, 0, 0.52, 2, 1, 0.9, 1, 0.1, 0.1), ("body", dome, 0, -0.02, 0.82, 0.62),
        ("accent", box, 0, -0.06, 0.82, 0.07),
    ),
    "ring_binder": _parts(
        ("light", box, 0.2, 0, 0.52, 0.74), ("body", box, 0, 0, 0.64, 0.88, 0.05),
        ("accent", box, -0.5, 0, 0.16, 0.88, 0.04),
        ("light", box, 0.16, -0.36, 0.3, 0.24), ("dark", ring, -0.5, 0.55, 0.1, 0.045),
        ("dark", line, -0.02, -0.36, 0.34, -0.36, 0.04),
    ),
    "ruler": _parts(
        ("body", box, 0, 0, 0.98, 0.26, 0.03), ("dark", grid, 0, -0.14, 9, 1, 0.215, 1, 0.03, 0.12),
        ("dark", grid, 0, -0.04, 3, 1, 0.86, 1, 0.035, 0.2), ("light", disc, 0.86, 0.12, 0.06),
    ),
    "scissors": _parts(
        ("metal", line, 0.2, 0.25, -0.34, -0.86, 0.085), ("metal", line, -0.2, 0.25, 0.34, -0.86, 0.085),
        ("body", ring, -0.38, 0.54, 0.25, 0.1), ("body", ring, 0.38, 0.54, 0.25, 0.1), ("dark", disc, 0, -0.16, 0.08),
    ),
    "speaker": _parts(
        ("body", box, 0, 0, 0.54, 0.9, 0.1), ("dark", disc, 0, 0.32, 0.42), ("metal", disc, 0, 0.32, 0.26),
        ("dark", disc, 0, 0.32, 0.12),
        ("dark", disc, 0, -0.48, 0.24), ("light", disc, 0, -0.48, 0.1),
    ),
    "stapler": _parts(
        ("dark", box, 0, 0.6, 0.92, 0.1, 0.06), ("metal", box, -0.72, 0.36, 0.14, 0.26),
        ("light", line, -0.6, 0.25, 0.72, 0.06, 0.08),
        ("body", line, -0.66, 0.12, 0.66, -0.16, 0.2), ("dark", line, 0.76, 0.1, 0.78, 0.26, 0.06),
    ),
    "tape_dispenser": _parts(
        ("light", ring, -0.22, -0.12, 0.42, 0.16), ("light", line, 0.1, -0.52, 0.86, 0.08, 0.05),
        ("body", polygon, (-0.88, 0.16), (0.95, 0.06), (0.95, 0.72), (-0.88, 0.72)),
        ("accent", disc, -0.22, -0.12, 0.2),
        ("dark", polygon, (0.7, 0.0), (0.96, 0.0), (0.96, 0.3), (0.8, 0.3)),
    ),
    "trash_can": _parts(
        ("body", polygon, (-0.62, -0.42), (0.62, -0.42), (0.44, 0.9), (-0.44, 0.9)),
        ("dark", box, 0, -0.5, 0.72, 0.11, 0.06),
        ("dark", arch, 0, -0.6, 0.2, 0.07), ("accent", line, -0.3, -0.2, -0.22, 0.68, 0.06),
        ("accent", line, 0, -0.2, 0, 0.68, 0.06),
        ("accent", line, 0.3, -0.2, 0.22, 0.68, 0.06),
    ),
}  # fmt: skip
"""The parts of every drawing by class, in the order they are painted."""
