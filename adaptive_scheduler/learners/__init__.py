"""Learners: splitting and combining, file names, loading and saving, goals, packs, dataframes."""
