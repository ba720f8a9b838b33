"""The binary tensor codec."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexpert.serving.tensors import MalformedTensor, decode_bytes, decode_fixed, encode_bytes


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_bytes_come_back_as_they_were(elements: list[bytes]) -> None:
    """Any bytes survive, empty elements and non-text included."""
    assert decode_bytes("image", encode_bytes(elements), len(elements)) == elements


@given(st.binary(max_size=40), st.integers(0, 4))
def test_broken_bytes_are_refused_and_nothing_else_happens(raw: bytes, count: int) -> None:
    """Whatever arrives is either `count` elements or MalformedTensor."""
    try:
        assert len(decode_bytes("image", raw, count)) == count
    except MalformedTensor as error:
        assert error.tensor == "image"  # noqa: PT017 -- both ends are allowed


def test_fixed_tensors_are_views() -> None:
    """A raw tensor becomes an array over the same memory."""
    raw = bytes(range(8))
    array = decode_fixed("pixels", "UINT8", [2, 1, 2, 2], memoryview(raw))
    assert array.tolist() == np.arange(8).reshape(2, 1, 2, 2).tolist()
    assert not array.flags.owndata


@pytest.mark.parametrize(
    ("datatype", "shape"),
    [
        ("UINT8", [9]),
        ("FP32", [8]),
        ("INT64", [1]),
        ("UINT8", [-2, -4]),
        ("UINT8", [2**62, 4, 0]),
        ("UINT8", [2**63, 2]),
    ],
)
def test_fixed_tensors_of_another_size_or_type_are_refused(datatype: str, shape: list[int]) -> None:
    """Shape, datatype and length must agree."""
    with pytest.raises(MalformedTensor):
        decode_fixed("pixels", datatype, shape, bytes(8))
