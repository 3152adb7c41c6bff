"""The way of messages out: the notes of callers, the order of frames, the writer and its threads."""
