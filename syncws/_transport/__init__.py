"""From a host name to a stream of bytes: look-up, TCP, TLS, and the wait for a socket. Knows no WebSocket."""
