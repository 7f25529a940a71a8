"""Measuring candidates and searching among them."""
