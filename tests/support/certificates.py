"""Whether a server of a test can have a certificate, which takes trustme or openssl."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

needs_certificate = pytest.mark.skipif(
    not (importlib.util.find_spec("trustme") or shutil.which("openssl")),
    reason="neither trustme nor openssl is here to make a certificate",
)
