"""Seconds and memory of clicks on balls of fixed millimetres, as one thing grows: volume, clicks or segments.

Each function measures in this process; for honest memory it wants to be the first in it.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantom import balls_in_noise, correction
from process_memory import peak, reset_peak, resident
from sam3dseg import Session
from sam3dseg.history import History
from sam3dseg.prompts import Click

SPACING_MM = (0.7, 0.7, 1.0)
RADIUS_MM = 15.0
PITCH_MM = 44.0  # between the centres of balls in one volume
CORRECTIONS = 10  # after the first click, for every volume
CORRECTIONS_PER_SEGMENT = 4
KEPT = 4  # segments whose steps stay in memory, as in the effect


def warm_up(segmenter: Any) -> None:
    """A click and a correction, after which libraries have set up their threads and buffers."""
    _clicks(_session(segmenter, balls_in_noise((64,) * 3, _middle(64), RADIUS_MM, SPACING_MM)), _middle(64)[0], 2)


def by_volume(segmenter: Any, size: int, sessions: int) -> dict[str, Any]:
    """First and later clicks in a volume of size³, in one session after the other; memory of the first session."""
    memory = {"model": resident()}
    volume = balls_in_noise((size,) * 3, _middle(size), RADIUS_MM, SPACING_MM)
    memory["volume"] = resident()
    rows = []
    for number in range(sessions):
        session = _session(segmenter, volume)
        rows.append(_clicks(session, _middle(size)[0], 1 + CORRECTIONS, seed=number))
        del session
        gc.collect()
    later = [row for session_rows in rows for row in session_rows[1:]]
    return {
        "volume_bytes": volume.nbytes,
        "first_s": [session_rows[0]["seconds"] for session_rows in rows],
        "later_s": [row["seconds"] for row in later],
        "later_encodes": [row["encodes"] for row in later],
        "resident": {**memory, "first": rows[0][0]["resident"], "later": rows[0][-1]["resident"]},
        "peak": {"first": rows[0][0]["peak"], "later": max(row["peak"] for row in rows[0][1:])},
    }


def by_clicks(segmenter: Any, size: int, clicks: int, seed: int) -> list[dict[str, float]]:
    """Every one of `clicks` clicks on one ball in a volume of size³."""
    session = _session(segmenter, balls_in_noise((size,) * 3, _middle(size), RADIUS_MM, SPACING_MM))
    return _clicks(session, _middle(size)[0], clicks, seed=seed)


def by_segments(segmenter: Any, size: int, segments: int, seed: int) -> list[dict[str, float]]:
    """Segments of one volume of size³, a ball each, one after the other in one session, as the effect makes them.

    They share the volume and its encoded windows; each has its own history, and the last KEPT histories stay. A row per
    segment: its first click, the median of its later ones, and a click on the segment before it, gone back to.
    """
    centers = ball_centers(size, segments)
    session = _session(segmenter, balls_in_noise((size,) * 3, centers, RADIUS_MM, SPACING_MM))
    rng = np.random.default_rng(seed)
    histories: deque[History] = deque(maxlen=KEPT)
    rows = []
    for number, center in enumerate(centers):
        session.exchange_history(None)
        clicks = _clicks(session, center, 1 + CORRECTIONS_PER_SEGMENT, seed=int(rng.integers(2**31)))
        row = {
            "first_s": clicks[0]["seconds"],
            "later_s": float(np.median([click["seconds"] for click in clicks[1:]])),
            "encodes": sum(click["encodes"] for click in clicks),
            "resident": clicks[-1]["resident"],
            "peak": max(click["peak"] for click in clicks),
        }
        histories.append(session.history)
        if number:
            session.exchange_history(histories[-2])
            back = correction(1, centers[number - 1], RADIUS_MM, SPACING_MM, rng)
            row["back_s"] = _timed(session, back)["seconds"]
        rows.append(row)
    return rows


def ball_centers(size: int, count: int) -> NDArray[np.integer]:
    """Voxels (count, 3) in a volume of size³, PITCH_MM apart. Raises ValueError when they do not fit."""
    per_axis = [max(1, int(size * step / PITCH_MM)) for step in SPACING_MM]
    if count > np.prod(per_axis):
        raise ValueError(
            f"expected at most {np.prod(per_axis)} segments in a volume of {size}³, received {count}; "
            "take a larger --base or fewer --segments"
        )
    cells = np.stack(np.meshgrid(*(np.arange(n) for n in per_axis), indexing="ij"), axis=-1).reshape(-1, 3)
    middle = np.array([size / n for n in per_axis])
    return np.round((cells[:count] + 0.5) * middle).astype(int)


def _middle(size: int) -> NDArray[np.integer]:
    return np.full((1, 3), size // 2)


def _session(segmenter: Any, volume: NDArray[np.int16]) -> Session:
    session = Session(segmenter)
    session.set_image(volume, spacing_mm=SPACING_MM)
    return session


def _clicks(session: Session, center: NDArray[np.integer], count: int, *, seed: int = 0) -> list[dict[str, float]]:
    """The first click in the middle of a ball and count - 1 corrections."""
    rng = np.random.default_rng(seed)
    i, j, k = center.tolist()
    clicks = [Click((i, j, k)), *(correction(n, center, RADIUS_MM, SPACING_MM, rng) for n in range(1, count))]
    return [_timed(session, click) for click in clicks]


def _timed(session: Session, click: Click) -> dict[str, float]:
    """Seconds until the mask is there, windows encoded for it, memory at the most and afterwards."""
    reset_peak()
    start = time.perf_counter()
    session.add(click)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "encodes": session.last_timing.encodes, "peak": peak(), "resident": resident()}
