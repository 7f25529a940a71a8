"""The neural half: facts for a model, prompts, clients, and reading plans from what comes back. A model writes plans, never code."""
