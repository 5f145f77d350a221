"""Files to be trusted: `whole` or absent, with DVC's hashes (`hashing`), read without running them (`restricted`)."""
