"""Programs that use syncws. This file lets `python3 -m examples.NAME` find them, whatever is installed."""
