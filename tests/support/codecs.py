"""A fixture that runs a module's tests over both forms of `syncws._protocol.codec`.

    pytestmark = pytest.mark.usefixtures("each_codec")

The form in C is there where it was built (`python setup.py build_ext --inplace`) and is not left out by
`SYNCWS_SPEEDUPS=0`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncws._protocol import codec, decoder, encoder

FORMS = {"python": (codec.parse_in_python, codec.frames_in_python, codec.mask_in_python)}
if codec.speedups is not None:
    FORMS[codec.speedups] = (codec.parse, codec.frames, codec.mask)  # type: ignore[assignment]


@pytest.fixture(scope="module", params=FORMS)
def each_codec(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        parse, frames, mask = FORMS[request.param]
        patch.setattr(decoder, "parse", parse)
        patch.setattr(encoder, "frames", frames)
        patch.setattr(encoder, "mask", mask)
        yield
