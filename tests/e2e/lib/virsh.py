"""Stock virsh, one process a command."""

import os
import subprocess

from . import wait


class Result:
    def __init__(self, completed):
        self.status = completed.returncode
        self.out = completed.stdout.strip()
        self.err = completed.stderr.strip()


class Virsh:
    def __init__(self, uri, *options):
        self.command = ["virsh", *options, "-c", uri]
        self.environment = {**os.environ, "LC_ALL": "C"}

    def run(self, *words, timeout=60):
        command = [*self.command, *map(str, words)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout * wait.PATIENCE, env=self.environment)
        return Result(done)

    def __call__(self, *words, **options):
        """What the command printed; AssertionError with its message when it fails."""
        result = self.run(*words, **options)
        assert result.status == 0, f"virsh {' '.join(map(str, words))}: {result.err or result.out}"
        return result.out

    def fails(self, *words, **options):
        """The message of a command that must fail."""
        result = self.run(*words, **options)
        assert result.status != 0, f"virsh {' '.join(map(str, words))} succeeded: {result.out}"
        return result.err

    def fields(self, *words):
        """Of a command that prints `Key:  value` lines, a dictionary."""
        pairs = (line.split(":", 1) for line in self(*words).splitlines() if ":" in line)
        return {key.strip(): value.strip() for key, value in pairs}

    def rows(self, *words):
        """Of a command that prints a table under a line of dashes, its rows as lists of words."""
        lines = self(*words).splitlines()
        ruler = next((i for i, line in enumerate(lines) if line.startswith("---")), None)
        return [line.split() for line in (lines[ruler + 1 :] if ruler is not None else []) if line.strip()]

    def names(self, *filters):
        return set(self("list", "--name", *filters).split())
