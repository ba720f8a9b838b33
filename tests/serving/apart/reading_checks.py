"""Run by test_reading.py in a process of its own: messages of kserve and of tritonclient have one name."""

import asyncio
import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve import InferRequest

from chexpert.domain.errors import InputError
from chexpert.serving import wire
from chexpert.serving.errors import MalformedRequest, RequestTooLarge
from chexpert.serving.exchange import Exchange
from chexpert.serving.reading import Asked, Reader
from chexpert.serving.rest import status_of
from chexpert.serving.tensors import HEADER_LENGTH

PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 2, 2], "data": [1, 2, 3, 4]}
BIG = 2**20 + 1

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner)
)
sides = st.sampled_from([-64, -1, 0, 1, 2, 4, 2**31, 2**32, 2**62, 2**63]) | anything
parameters = anything | st.fixed_dictionaries(
    {},
    optional={
        "binary_data": anything,
        "binary_data_size": st.sampled_from([-1, 0, 4, 16, 2**62]) | anything,
        "datatype": st.just("FP16") | anything,
        "shadow": anything,
        "binary_data_output": anything,
    },
)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["pixels", "image"]) | anything,
        "datatype": st.sampled_from(["UINT8", "BYTES", "uint8"]) | anything,
        "shape": st.lists(sides, max_size=5) | st.just([1, 1, 2, 2]) | anything,
        "data": st.just([1, 2, 3, 4]) | st.just(["aGk="]) | anything,
        "parameters": parameters,
    },
)
outputs = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["scores", "flag", "priority"]) | anything, "parameters": parameters}
)
documents = anything | st.fixed_dictionaries(
    {},
    optional={
        "id": anything,
        "inputs": st.lists(tensors, max_size=2) | st.lists(tensors | st.just(PIXELS), min_size=1, max_size=1),
        "outputs": st.lists(outputs | anything, max_size=3) | anything,
        "parameters": parameters,
    },
)


def read(body: bytes, header_length: str | None = None) -> Asked:
    exchange = Exchange("POST", "/", "id", bytes_in=len(body))
    return asyncio.run(Reader(64).read(lambda: wire.decode_request(body, header_length), exchange))


@settings(deadline=None, max_examples=400)
@given(documents, st.binary(max_size=16), st.none() | st.integers(-1, 3) | st.text("0123456789²٣-+ ", max_size=20))
def test_whatever_json_comes_the_answer_is_200_or_4xx(document: Any, tail: bytes, length: int | str | None) -> None:
    """A body is either read, to an answer that can be written, or refused by an error of the caller's."""
    header = json.dumps(document).encode()
    told = str(len(header) + length) if isinstance(length, int) else length
    try:
        asked = read(header + tail if told else header, told)
    except InputError as error:
        assert 400 <= status_of(error) < 500  # noqa: PT017 -- both ends are allowed
    else:
        assert asked.query.count >= 1
        assert wire.requested(asked.request)


def pixels(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**PIXELS, **changes}]}).encode()


@pytest.mark.parametrize(
    ("body", "length", "says"),
    [
        (b'{"outputs": [{"name": "scores", "parameters": [1]}]}', None, "'scores'"),
        (pixels(shape=[1, 1, 2**63, 1]), None, "whole numbers"),
        (pixels(shape=[1, 1, -2, -2]), None, "shape"),
        (pixels(data=[1, 2, 3, 256]), None, "0..255"),
        (b"{}", "1" * 5000, HEADER_LENGTH),
        (b"{}", "²", HEADER_LENGTH),
    ],
)
def test_what_is_wrong_is_named(body: bytes, length: str | None, says: str) -> None:
    """The refusal names the tensor or header at fault, in no more words than a gRPC trailer takes."""
    with pytest.raises(MalformedRequest, match=f"(?i){says}") as caught:
        read(body, length)
    assert len(str(caught.value)) <= 501


@given(st.lists(st.integers(0, 255), min_size=4, max_size=4))
def test_pixels_are_the_same_flat_or_nested(values: list[int]) -> None:
    """V2 allows both forms of `data`; each gives the grey levels that were sent."""
    expected = np.array(values, dtype=np.uint8).reshape(1, 1, 2, 2)
    for data in (values, expected.tolist()):
        found = read(pixels(data=data)).query.pixels
        assert found is not None
        assert (found == expected).all()


def test_more_json_values_than_a_pod_can_hold_are_refused_unparsed() -> None:
    """Eight million commas are too many, whatever else is wrong."""
    with pytest.raises(RequestTooLarge, match="JSON values"):
        read(b"," * (2**23 + 1))


def thread_of(size: int) -> bool:
    """Whether a request of so many bytes is parsed where the event loop runs."""
    seen: list[int] = []

    def parse() -> InferRequest:
        seen.append(threading.get_ident())
        return wire.decode_request(pixels(), None)

    asyncio.run(Reader(64).read(parse, Exchange("POST", "/", "id", bytes_in=size)))
    return seen == [threading.get_ident()]


def test_only_a_big_request_is_parsed_in_a_thread() -> None:
    """Up to 1 MiB it costs no change of threads, beyond it costs the event loop nothing."""
    assert thread_of(BIG - 1)
    assert not thread_of(BIG)


def test_while_a_big_request_is_parsed_small_ones_are_read() -> None:
    """The loop goes on: a small request is read to its end while the parsing of a big one is stuck."""
    stuck = threading.Event()

    def parse_big() -> InferRequest:
        assert stuck.wait(30)
        return wire.decode_request(pixels(), None)

    async def both() -> None:
        reader = Reader(64)
        big = asyncio.create_task(reader.read(parse_big, Exchange("POST", "/", "big", bytes_in=BIG)))
        await asyncio.sleep(0.05)
        small = Exchange("POST", "/", "small", bytes_in=10)
        await reader.read(lambda: wire.decode_request(pixels(), None), small)
        assert (small.images, big.done()) == (1, False)
        stuck.set()
        await big

    asyncio.run(both())
