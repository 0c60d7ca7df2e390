"""A scheduler for one machine."""
