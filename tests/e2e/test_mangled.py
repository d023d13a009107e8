"""Descriptions that careless producers write, given to this daemon and to libvirt's own QEMU driver beside it: both take them as the same machine, or both
refuse them with the same code. Where they do not, a row of differences.py says why.

    pytest tests/e2e/test_mangled.py --mangled-seed 7 --mangled-seconds 600
"""

import random
import time
from collections import Counter

import libvirt
import pytest

from differences import reason
from lib import daemon as daemons
from lib import mangle

SHOWN = 20


class Driver:
    """A driver that is asked. libvirt's, unlike ours, may end of a question, as libvirtd 9.0 does of a disk without a target; then it is started anew."""

    def __init__(self, uri, daemon=None):
        self.uri, self.daemon, self.connection = uri, daemon, libvirt.open(uri)

    def define(self, text):
        """(libvirt's code of the refusal and its message), or (0, what dumpxml shows); None where the daemon ended of it."""
        try:
            domain = self.connection.defineXML(text)
        except libvirt.libvirtError as error:
            if self.daemon and (not self.connection.isAlive() or self.daemon.process.poll() is not None):
                self.daemon.process.wait(20)
                self.daemon.start()
                self.connection = libvirt.open(self.uri)
                return None
            return error.get_error_code(), error.get_error_message()
        try:
            return 0, domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        finally:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)


@pytest.fixture(scope="module")
def drivers(pytestconfig, base, uri, ours):
    if not ours:
        pytest.skip("the oracle is asked by the run of the other")
    oracle = daemons.libvirtd(base, daemons.CACHE)
    oracle.start()
    both = Driver(oracle.uri, oracle), Driver(uri)
    yield both
    for driver in both:
        driver.connection.close()
    oracle.stop()


def differences(theirs, ours):
    if theirs is None:
        return []
    if theirs[0] or ours[0]:
        return [] if theirs[0] == ours[0] else [f"code {theirs[0]} {ours[0]}: {(ours if ours[0] else theirs)[1]}"]
    libvirts, own = mangle.facts(theirs[1]), mangle.facts(ours[1])
    return [f"- {line}" for line in sorted(libvirts - own)] + [f"+ {line}" for line in sorted(own - libvirts)]


# Good ones that libvirt's QEMU driver refuses: an emulator that is not there, a name too long for a file, what it cannot do at a reboot, a path of a socket.
LEFT_OUT = {"seed-x86_64", "name-255", "events", "on-poweroff-preserve", "console-unix-chosen", "machine-upper-case"}


def good_descriptions():
    """Those of the golden files that libvirt's QEMU driver can be asked about too."""
    texts = {}
    for path in sorted(mangle.GOLDEN.glob("*.out.xml")):
        text = path.with_name(path.name.replace(".out.xml", ".xml")).read_text()
        name = path.name.removesuffix(".out.xml")
        if "x86_64" in text and name not in LEFT_OUT:
            texts[name] = text.replace("type='kvm'", "type='qemu'")
    return texts


def test_good_descriptions_are_taken_alike(drivers):
    unexplained = []
    for name, text in good_descriptions().items():
        for difference in differences(*(driver.define(text) for driver in drivers)):
            if not reason(difference):
                unexplained.append(f"{name}: {difference}")
    assert not unexplained, "\n".join(unexplained[:SHOWN])


def test_mangled_descriptions_are_taken_alike(pytestconfig, drivers):
    seed = pytestconfig.option.mangled_seed
    generator, seconds, begin = random.Random(seed), pytestconfig.option.mangled_seconds, time.monotonic()
    good = good_descriptions()
    names, known, unexplained, met, count = sorted(good), {}, [], Counter(), 0
    while time.monotonic() - begin < seconds if seconds else count < pytestconfig.option.mangled:
        name = generator.choice(names)
        if name not in known:
            known[name] = set(differences(*(driver.define(good[name]) for driver in drivers)))
        mangled = mangle.Mangled(good[name], generator, generator.choice([1, 1, 1, 2, 3]))
        for difference in differences(*(driver.define(mangled.text) for driver in drivers)):
            if difference in known[name]:
                continue
            why = reason(difference, "; ".join(mangled.how))
            met[why] += 1
            if not why:
                unexplained.append(f"{name}, {'; '.join(mangled.how)}:\n    {difference}\n{mangled.text}\n")
        count += 1
    print(f"seed {seed}: {count} descriptions; " + "; ".join(f"{number} times {why}" for why, number in met.most_common() if why))
    assert not unexplained, f"seed {seed}, {len(unexplained)} of {count}:\n" + "\n".join(unexplained[:SHOWN])
    assert count > 100  # with a number of seconds too
