"""From a host name to a stream of bytes: look-up, TCP, TLS, and waiting for a socket. Nothing of
WebSocket."""
