"""An interactive `virsh console`, as a person at a terminal has it."""

import itertools
import os
import re
import termios

import pexpect

from . import wait

PROMPT = "guest# "
LOGIN = "guest login: "
BOOT_SECONDS = 90
_numbers = itertools.count(1)


class Console:
    def __init__(self, uri, name, *options, shell=None):
        self.child = pexpect.spawn(
            "virsh", ["-c", uri, *(["console", name, *options] if shell is None else shell)], encoding="utf-8", codec_errors="replace", timeout=20 * wait.PATIENCE,
            env={**os.environ, "LC_ALL": "C", "TERM": "dumb"}, echo=False, use_poll=True,
        )
        self.child.delaybeforesend = None

    def connected(self):
        """Until virsh has made its terminal raw: what is typed before that it throws away."""
        self.child.expect(r"Escape character is \^\]")
        wait.until(lambda: not termios.tcgetattr(self.child.child_fd)[3] & termios.ICANON, "virsh to make its terminal raw")
        return self

    def login(self, seconds=BOOT_SECONDS):
        """To a shell's prompt, from wherever the guest is: booting, at its login, logged in."""
        self.child.send("\r")
        if self.child.expect_exact([LOGIN, PROMPT], timeout=seconds * wait.PATIENCE) == 0:
            self.child.send("root\r")
            self.child.expect_exact(PROMPT)
        self.command("true")
        return self

    def command(self, line, seconds=20):
        """What `line` prints in the guest."""
        mark = f"end-{next(_numbers)}"
        self.child.send(f"{line}; echo {mark}-$?-\r")
        self.child.expect(rf"{mark}-(\d+)-", timeout=seconds * wait.PATIENCE)
        # The terminal's echo of the line typed comes before what it printed, twice when it was typed before the prompt.
        return self.child.before.rsplit(f"{mark}-$?-", 1)[-1].replace("\r", "").strip()

    def type(self, text):
        self.child.send(text)

    def expect(self, pattern, seconds=20):
        self.child.expect(pattern, timeout=seconds * wait.PATIENCE)
        return self.child.match

    def silent(self, text, pattern, seconds=1.0):
        """Types `text`; true when nothing like `pattern` comes within `seconds`."""
        self.child.send(text)
        return self.child.expect([pattern, pexpect.TIMEOUT], timeout=seconds) == 1

    def leave(self):
        """Ctrl-]; virsh's exit status."""
        self.child.send("\x1d")
        return self.ended()

    def ended(self, seconds=10):
        self.child.expect(pexpect.EOF, timeout=seconds * wait.PATIENCE)
        self.child.close()
        return self.child.exitstatus

    def vanish(self):
        """The client is gone without a word."""
        self.child.kill(9)
        self.child.close(force=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.isalive():
            self.vanish()


def plain(text):
    """Without the terminal's control sequences."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
