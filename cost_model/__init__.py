"""Which of many plans is fast: features of scheduled programs, and an XGBoost ranking that learns from measurements."""
