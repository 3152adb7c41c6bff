"""The options of the calls: their types, their checks, the errors for unknown ones."""
