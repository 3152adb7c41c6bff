"""What several modules of this folder share."""

from tests.support.codecs import each_codec

__all__ = ["each_codec"]
