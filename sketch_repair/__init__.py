"""Repairs plans that fail. Empty in this version: see ARCHITECTURE.md for what it will hold."""
