"""Fitting weights to another number of frames, slots or classes: which parts are taken, and which start anew."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vistr.weights.load import shorten

logger = logging.getLogger(__name__)


def first_frames(queries: np.ndarray, num_queries: int, config: Mapping[str, Any]) -> np.ndarray:
    """The first `num_queries` of the queries `[T*N, C]`, those of the first frames.

    All of them if there are no more, or if that is no whole number of frames of `config`, the settings of their
    training.
    """
    num_instances = config.get("num_instances", 0)
    if num_queries >= len(queries) or not num_instances or num_queries % num_instances:
        return queries
    before, now = len(queries) // num_instances, num_queries // num_instances
    logger.info("trained with %d frames, used with %d: the queries of its first %d frames", before, now, now)
    return np.ascontiguousarray(queries[:num_queries])


def fit_queries(queries: np.ndarray, fresh: np.ndarray, num_instances: int, fresh_instances: int) -> np.ndarray:
    """Queries `[T*N, C]` for a network of other frames and slots, whose new queries are `fresh [T'*N', C]`.

    Slots of the same number are reused, frame by frame; frames past the last start as copies of it (a query says
    which object, and in which frame: the nearest frame's is the best guess), slots past the last stay fresh.
    """
    width = queries.shape[1]
    known, fitted = queries.reshape(-1, num_instances, width), fresh.reshape(-1, fresh_instances, width).copy()
    frames = np.minimum(np.arange(len(fitted)), len(known) - 1)
    slots = min(num_instances, fresh_instances)
    fitted[:, :slots] = known[frames, :slots]
    if len(fitted) < len(known):
        logger.info("  queries: those of the first %d frames of %d are reused", len(fitted), len(known))
    if len(fitted) > len(known):
        logger.info("  queries: those of %d frames are reused, further frames start as copies of the last", len(known))
    if num_instances != fresh_instances:
        rest = f", {fresh_instances - slots} slots are new" if fresh_instances > slots else ""
        logger.info("  queries: the first %d slots of %d are reused%s", slots, num_instances, rest)
    return fitted.reshape(-1, width)


def fit_frames(vectors: np.ndarray, num_frames: int) -> np.ndarray:
    """The vector of each frame `[T, C]` for a network of another number of frames; further ones copy the last."""
    return np.ascontiguousarray(vectors[np.minimum(np.arange(num_frames), len(vectors) - 1)])


def fit_classes(
    rows: np.ndarray, fresh: np.ndarray, names: Sequence[str], fresh_names: Sequence[str], *, say: bool = True
) -> np.ndarray:
    """Rows `[K + 2, ...]` of the class head for other classes, whose new rows are `fresh [K' + 2, ...]`.

    Classes of the same name are reused, and so are the first row (never used) and the last ("no object").
    """
    fitted = fresh.copy()
    fitted[0], fitted[-1] = rows[0], rows[-1]
    place = {name: 1 + i for i, name in enumerate(names)}
    reused = [name for name in fresh_names if name in place]
    for i, name in enumerate(fresh_names):
        if name in place:
            fitted[1 + i] = rows[place[name]]
    new = [name for name in fresh_names if name not in place]
    if say and new:
        logger.info("  classes: %s reused, new are %s", shorten(reused) if reused else "none", shorten(new))
    return fitted
