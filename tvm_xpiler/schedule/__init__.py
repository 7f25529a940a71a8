"""Schedules over the normal form: facts about blocks, and the rules that an expert would apply without search."""
