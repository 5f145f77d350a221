"""The drill of the registry: registrations at once, killed at random moments, and rollbacks."""
