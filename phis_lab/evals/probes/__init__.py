"""Probes: what frozen features are measured by; each file has one, its function and its options."""
