"""The memory of a static cache: it grows in one array, and what it holds stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.shapes import CausalShape
from bark_onnx.runtime.inference.decoders.cache_buffer import STEP_TOKENS, CacheBuffer

CONTEXT = 3 * STEP_TOKENS + 40
SHAPE = CausalShape(
    num_layers=2,
    num_heads=3,
    head_size=4,
    context_length=CONTEXT,
    input_vocabulary=10,
    first_logit_id=0,
    num_logits=10,
)
TOKEN_BYTES = 2 * 2 * 3 * 4 * 4  # of one token in one slot: all layers, both parts, float32


def _buffer(slots: int = 8, *, fixed_length: int | None = None) -> CacheBuffer:
    return CacheBuffer(SHAPE, slots, np.dtype(np.float32), fixed_length)


def _grow(buffer: CacheBuffer, slots: int, length: int) -> bool:
    return buffer.grow(slots, length, np.zeros(8, np.int64))


def test_an_empty_buffer_uses_no_memory():
    assert (_buffer().slots, _buffer().length, _buffer().nbytes) == (0, 0, 0)


@pytest.mark.parametrize(
    ("needed", "length"),
    [
        (1, STEP_TOKENS),
        (STEP_TOKENS, STEP_TOKENS),
        (STEP_TOKENS + 1, 2 * STEP_TOKENS),
        (3 * STEP_TOKENS + 1, CONTEXT),
        (CONTEXT, CONTEXT),
    ],
)
def test_buffers_are_lengthened_in_steps_up_to_the_context(needed: int, length: int):
    buffer = _buffer()
    assert _grow(buffer, 1, needed)
    assert (buffer.slots, buffer.length) == (1, length)
    assert buffer.nbytes == length * TOKEN_BYTES
    (shape,) = {part.shape for part in buffer.parts().values()}
    assert shape == (1, 3, length, 4)


def test_the_number_of_slots_doubles_up_to_the_most():
    buffer = _buffer(6)
    found = []
    for needed in range(1, 7):
        _grow(buffer, needed, 1)
        found.append(buffer.slots)
    assert found == [1, 2, 4, 4, 6, 6]


def test_buffers_move_only_when_they_are_too_small():
    buffer = _buffer()
    assert _grow(buffer, 2, 100)
    assert not _grow(buffer, 2, STEP_TOKENS)
    assert not _grow(buffer, 1, 1)
    assert _grow(buffer, 1, STEP_TOKENS + 1)
    assert (buffer.slots, buffer.length) == (2, 2 * STEP_TOKENS)


def test_buffers_of_a_fixed_length_have_it_from_the_beginning():
    buffer = _buffer(fixed_length=CONTEXT)
    assert (buffer.slots, buffer.length, buffer.nbytes) == (0, CONTEXT, 0)
    assert _grow(buffer, 1, 1)
    assert (buffer.slots, buffer.length) == (1, CONTEXT)
    assert not _grow(buffer, 1, CONTEXT)


# Slots and tokens that are needed, and the number of tokens to write to the last slot.
GROWTH = st.tuples(st.integers(1, 8), st.integers(1, CONTEXT))


@settings(deadline=None, max_examples=60)
@given(st.lists(GROWTH, min_size=1, max_size=8), st.sampled_from([None, CONTEXT]))
def test_what_slots_hold_stays_in_them_while_buffers_grow(
    growths: list[tuple[int, int]], fixed_length: int | None
):
    buffer = _buffer(fixed_length=fixed_length)
    lengths = np.zeros(8, np.int64)
    written: dict[tuple[int, str, int], np.ndarray] = {}
    for number, (slots, length) in enumerate(growths):
        buffer.grow(slots, length, lengths)
        slot = slots - 1
        lengths[slot] = length
        for index, ((layer, part), array) in enumerate(buffer.parts().items()):
            content = np.random.default_rng([number, index]).random((3, length, 4), np.float32)
            array[slot, :, :length] = written[layer, part, slot] = content
    parts = buffer.parts()
    for (layer, part, slot), content in written.items():
        np.testing.assert_array_equal(parts[layer, part][slot, :, : lengths[slot]], content)
