"""How well maps of contours agree with true ones: precision, recall and F1, a pixel or two off being no mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_LEVELS = 100


@dataclass(frozen=True)
class ContourScores:
    """At the threshold, one for all maps, that makes F1 largest."""

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def contour_scores(
    thinned_maps: Sequence[np.ndarray], truths: Sequence[np.ndarray], tolerance: int = 1
) -> ContourScores:
    """
    Score thinned maps (H, W) in 0..1 against true contours (H, W) bool, over all pixels of all maps.

    Precision: the share of what is found with a true contour within `tolerance` pixels; recall: the share of
    true pixels with something found within them (Martin 2004, without matching one to one).
    """
    levels = np.linspace(0, 1, _LEVELS, endpoint=False) + 0.5 / _LEVELS
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1,) * 2)
    found, right, reached, there = np.zeros((4, _LEVELS))
    for map_hw, truth_hw in zip(thinned_maps, truths, strict=True):
        map_hw = np.ascontiguousarray(map_hw, np.float32)
        near_truth = cv2.dilate(truth_hw.astype(np.uint8), around) > 0
        strongest = cv2.dilate(map_hw, around)
        found += _above(map_hw, levels)
        right += _above(map_hw[near_truth], levels)
        reached += _above(strongest[truth_hw], levels)
        there += truth_hw.sum()
    all_scores = [
        ContourScores(float(level), float(r / max(f, 1)), float(g / max(t, 1)))
        for level, r, f, g, t in zip(levels, right, found, reached, there, strict=True)
    ]
    return max(all_scores, key=lambda scores: scores.f1)


def _above(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return how many values are above each of the levels."""
    return values.size - np.searchsorted(np.sort(values, axis=None), levels, side='right')
