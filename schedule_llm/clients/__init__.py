"""Clients of model servers: endpoints, tapes and budgets."""
