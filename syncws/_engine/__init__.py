"""The life of one connection on its threads, and what these leave for each other."""
