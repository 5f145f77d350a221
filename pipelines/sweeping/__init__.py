"""The parts of a sweep: what may be tried, what is, where each trial runs and lives, and what is said of them all."""
