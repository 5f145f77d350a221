"""A motion as one HTML file that any browser opens without a network: 3D to turn, 2D input, ground truth, errors."""

from mixste.viewer.page import write_html

__all__ = ["write_html"]
