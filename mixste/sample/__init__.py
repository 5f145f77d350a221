"""A small synthetic motion capture set, the same bytes on every run: stick people of eight builds doing seven things.

It exists so that the pipeline runs on a fresh clone. It is plausible, not recorded; see docs/data-sample.md.
"""

from mixste.sample.actions import ACTIONS
from mixste.sample.write import SUBJECTS, make_trial, write_sample

__all__ = ["ACTIONS", "SUBJECTS", "make_trial", "write_sample"]
