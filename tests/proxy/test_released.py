"""What is kept of what went out."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from weir_proxy.released import Released


@given(st.lists(st.binary(max_size=8)), st.integers(0, 40), st.data())
def test_a_beginning_is_long_enough_and_comes_with_the_hash_of_the_whole(
    pieces: list[bytes], keep: int, data: st.DataObject
) -> None:
    released = Released(keep)
    for piece in pieces:
        released.add(piece)
    whole = b"".join(pieces)
    size = data.draw(st.integers(0, keep))
    beginning, digest = released.beginning(size)
    assert released.size == len(whole)
    assert whole.startswith(beginning)
    assert len(beginning) >= min(size, len(whole))
    assert digest == (None if beginning == whole else hashlib.sha256(whole).hexdigest())
