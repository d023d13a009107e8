"""What lacks.py says that this tree's monitor has not, it refuses by name."""

import libvirt
import pytest

from lacks import LACKS
from lib import host


@pytest.mark.parametrize("kind", [kind for kind, lack in LACKS.items() if lack.devices or lack.os])
def test_what_the_monitor_has_not_it_names(define, image, refused, kind):
    lack = LACKS[kind]
    domain = define(devices=lack.devices.replace("BRIDGE", host.BRIDGE), os=lack.os.replace("IMAGE", str(image())))
    assert lack.why.removeprefix("it has no ") in refused(libvirt.VIR_ERR_INTERNAL_ERROR, domain.create)
    assert not domain.isActive()
