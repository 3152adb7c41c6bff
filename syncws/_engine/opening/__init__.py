"""From a URL to an open stream: the way to the server, the request, the answer."""
