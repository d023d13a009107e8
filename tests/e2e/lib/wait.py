"""Waiting for a condition, never for a time."""

import time

PATIENCE = 1  # by which bounds grow on a slow host (--patience)


def until(condition, what, seconds=10.0):
    """The first true value of `condition()`; AssertionError naming `what` when none comes within `seconds`."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)
