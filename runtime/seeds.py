"""Seeds: those that were named, those that nobody named, and those of the parts of a whole."""

import secrets

import numpy as np

from bark_onnx.graphs.errors import OptionsError

_BITS = 32  # of a seed that nobody named


def resolve_seed(seed: int | None) -> int:
    """The seed that was asked for; None draws one.

    Raises:
        OptionsError: it is no integer, or negative.
    """
    if seed is None:
        return secrets.randbits(_BITS)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise OptionsError(f"seed is {seed!r}, expected an integer from 0")
    return int(seed)


def segment_seed(seed: int, index: int, take: int = 0) -> int:
    """The seed of a take of a piece: independent streams, whatever runs beside them.

    The first take of the first piece has the seed itself, so that a text of one piece sounds as if
    said by `speak`.
    """
    if index == take == 0:
        return int(seed)
    sequence = np.random.SeedSequence(int(seed), spawn_key=(index, take))
    return int(sequence.generate_state(1, np.uint64)[0])
