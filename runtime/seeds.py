"""Seeds: given, drawn, and derived for the segments of a long text."""

import secrets

import numpy as np

from bark_onnx.graphs.errors import OptionsError

SEED_BITS = 53  # of derived seeds: integers that every reader of JSON keeps
OLD_SEED_BITS = 64  # of those before format 3 of the provenance

_DRAWN_BITS = 32


def resolve_seed(seed: int | None) -> int:
    """The given seed; None draws one.

    Raises:
        OptionsError: The seed is not an integer, or negative.
    """
    if seed is None:
        return secrets.randbits(_DRAWN_BITS)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise OptionsError(f"seed is {seed!r}, expected an integer from 0")
    return int(seed)


def segment_seed(seed: int, index: int, attempt: int = 0, *, bits: int = SEED_BITS) -> int:
    """The seed of one attempt at one segment, from numpy's `SeedSequence`.

    The first attempt at the first segment has the seed itself, so that a text of one segment
    equals `Bark.speak`.

    Args:
        seed: Seed of the whole text.
        index: Position of the segment, from 0.
        attempt: Number of the attempt, from 0.
        bits: Length of the seed, 53 or 64.
    """
    if index == attempt == 0:
        return int(seed)
    sequence = np.random.SeedSequence(int(seed), spawn_key=(index, attempt))
    return int(sequence.generate_state(1, np.uint64)[0]) >> (OLD_SEED_BITS - bits)
