"""What the commands of `phis-lab` do, one file each; `cli.py` says what they take, and the rooms below do the work."""
