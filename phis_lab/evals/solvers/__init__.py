"""Solvers of linear classifiers, and the search for what they leave open."""
