"""One reader a raw format, each with a `read(path)`, and what some of them share: chains of joints, numbers, bodies."""
