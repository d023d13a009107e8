"""Each kind of call that changes something: what is there before it, and the call."""

import concurrent.futures
import dataclasses
import os
from typing import Callable

import libvirt

from lib import xml
from world import ANSWER_SECONDS, FIRMWARE

UUID = "c5a7c7a0-0000-4000-8000-00000000000a"
PAGES = 64  # MiB of huge pages, which the host of a test has reserved
NAMES = ("subject", "renamed")
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
TITLE = libvirt.VIR_DOMAIN_METADATA_TITLE


def text(**parts):
    return xml.bare("subject", uuid=UUID, **parts)


def whole(world):
    """With all that a host gives a machine: pages, a tap, an owned disk, a variable store, a console."""
    world.image.touch()
    os.truncate(world.image, 1 << 20)
    return text(
        memory=PAGES,
        os=f"<loader readonly='yes' type='pflash'>{FIRMWARE}</loader><nvram>{world.nvram}/subject.fd</nvram>",
        body="<memoryBacking><hugepages/></memoryBacking>",
        devices=xml.disk(world.image) + xml.bridge("52:54:00:00:09:02") + xml.CONSOLE,
    )


@dataclasses.dataclass
class Change:
    """A domain is defined before it, marked to start with the host, started, or made transient, as it says."""

    call: Callable
    defined: Callable | None = lambda world: text()
    autostart: bool = False
    started: bool = False
    transient: bool = False

    def reach(self, world):
        for name in NAMES:
            world.remove(name)
        (world.nvram / "subject.fd").unlink(missing_ok=True)
        if not self.defined:
            return
        domain = world.connection.defineXML(self.defined(world))
        domain.setAutostart(self.autostart)
        if self.started:
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        if self.transient:
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)

    def attempt(self, world, meanwhile=lambda: None):
        """Makes the call, and `meanwhile` beside it; None once it is acknowledged, else its error."""
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            call = threads.submit(self.call, world)
            meanwhile()
            try:
                call.result(ANSWER_SECONDS)
                return None
            except libvirt.libvirtError as error:
                return error


def subject(world):
    return world.lookup("subject")


CHANGES = {
    "define": Change(lambda w: w.connection.defineXML(text(memory=96, devices=xml.CONSOLE)), defined=None),
    "redefine": Change(lambda w: w.connection.defineXML(text(memory=96, devices=xml.RNG))),
    "undefine": Change(lambda w: subject(w).undefine(), autostart=True),
    "autostart": Change(lambda w: subject(w).setAutostart(1)),
    "autostart-disable": Change(lambda w: subject(w).setAutostart(0), autostart=True),
    "rename": Change(lambda w: subject(w).rename("renamed")),
    "rename-autostart": Change(lambda w: subject(w).rename("renamed"), autostart=True),
    "metadata": Change(lambda w: subject(w).setMetadata(TITLE, "a title", None, None, CONFIG)),
    "attach-config": Change(lambda w: subject(w).attachDeviceFlags(xml.disk("/dev/null"), CONFIG)),
    "start": Change(lambda w: subject(w).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED), defined=whole),
    "create": Change(lambda w: w.connection.createXML(whole(w), libvirt.VIR_DOMAIN_START_PAUSED), defined=None),
    "destroy": Change(lambda w: subject(w).destroy(), defined=whole, started=True),
    "destroy-transient": Change(lambda w: subject(w).destroy(), defined=whole, started=True, transient=True),
}
