"""Judge a model: metrics, posed sequences, classical baselines, reports."""
