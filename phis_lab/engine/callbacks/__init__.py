"""What happens between the steps: evaluations and checkpoints, and how a run tells where it is."""
