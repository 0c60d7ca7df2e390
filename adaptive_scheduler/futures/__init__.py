"""Runs plain functions as jobs: the face of `concurrent.futures`."""
