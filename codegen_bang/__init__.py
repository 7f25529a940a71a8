"""Emits BANG C. Empty in this version: see ARCHITECTURE.md for what it will hold."""
