"""The life of one connection on its threads, and the notes that these leave for each other."""
