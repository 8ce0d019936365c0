"""Tasks: evaluations with data of their own, a file and an option file for each."""
