"""Settings that check themselves: `rules` beside fields, and frozen settings from nested dictionaries (`typed`)."""
