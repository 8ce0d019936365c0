"""Random streams that are named instead of shared."""

from hashlib import blake2b


def named_seed(*name: str | int) -> int:
    """Returns a seed in [0, 2^32) that depends on `name` alone, never on what ran before.

    torch's CPU generator uses 32 bits of its seed, which is why the name is hashed and not packed into a
    number.
    """
    return int.from_bytes(blake2b(repr(name).encode(), digest_size=4).digest(), "big")
