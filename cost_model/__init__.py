"""Predicts how fast a candidate will be. Empty in this version: see ARCHITECTURE.md for what it will hold."""
