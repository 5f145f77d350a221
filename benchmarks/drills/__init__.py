"""Drills: something is broken on purpose, what is left is counted, a table for docs/reliability.md is printed."""
