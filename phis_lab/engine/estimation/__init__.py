"""How the teachers' statistics are gathered: from the training stream, from files, or as running averages."""
