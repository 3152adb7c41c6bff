"""The reader thread: its loop, its state, the notes for it, and what it gives the consumer."""
