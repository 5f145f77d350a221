"""A leg that reaches for a place: hip and bone lengths stay, the knee bends in its own plane."""

import numpy as np

REACH = 0.9995  # of the straight leg: a knee that locks would snap


def reach(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return knees and ankles (t 3) of legs (t 3 each) whose ankles are `wanted` (t 3), or as near as the bones allow.

    Thigh and shank keep their lengths in every frame. A leg that is where it is wanted stays as it is.
    """
    thigh, shank = _norm(knee - hip), _norm(ankle - knee)
    longest = np.maximum(REACH * (thigh + shank), _norm(ankle - hip))
    distance = np.clip(_norm(wanted - hip), np.abs(thigh - shank), longest)
    along = _unit(wanted - hip)
    ahead = (thigh**2 - shank**2 + distance**2) / np.maximum(2 * distance, 1e-9)
    aside = np.sqrt(np.maximum(thigh**2 - ahead**2, 0.0))
    bend = _bend(hip, knee, ankle, along)
    return hip + ahead * along + aside * bend, hip + distance * along


def _bend(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return where knees point to (t 3), square to `along`: the present way, turned as the legs turn."""
    before = _unit(ankle - hip)
    out, both = knee - hip, before + along
    turned = out - _dot(out, both) / np.maximum(1 + _dot(before, along), 1e-9) * both + 2 * _dot(out, before) * along
    return _unit(turned - _dot(turned, along) * along)


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(axis=-1, keepdims=True)


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(_norm(vectors), 1e-9)
