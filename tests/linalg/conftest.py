"""Laws are tested on a fixed set of cases, and no case is judged by its time."""

from hypothesis import settings

settings.register_profile("laws", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("laws")
