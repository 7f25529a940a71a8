"""Schedules explored by hand: in a notebook, or in any Python session."""
