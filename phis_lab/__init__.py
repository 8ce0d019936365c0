"""Label-free multi-teacher distillation: normalisers, engine, comparison."""
