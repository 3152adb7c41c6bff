"""Bytes to meaning and back: URLs, opening handshake, frames, compression. No I/O, no threads, no clock."""
