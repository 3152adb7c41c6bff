"""The end that takes messages: the event queue and the worker, or the inbox for calls of `recv`."""
