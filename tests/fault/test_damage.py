"""Files of an earlier daemon that are cut short or filled with garbage: the daemon says so, keeps them aside, and serves the rest."""

import json
import os
import uuid as uuids

import libvirt
import pytest

from lib import host, xml
from lib.wait import until
from world import World

PAUSED = libvirt.VIR_DOMAIN_START_PAUSED


@pytest.fixture
def world(base, program, request):
    one = World(base / f"damage-{abs(hash(request.node.name))}", program).begin()
    one.connection.defineXML(xml.bare("bystander", devices=xml.RNG))
    one.connection.createXML(xml.bare("honest", devices=xml.CONSOLE), PAUSED)
    yield one
    one.end()


def stop(world):
    world.connection = None
    world.server.kill()


def damages(good, chance, soak):
    """what -> bytes: the file cut at every length, or with a stretch of it overwritten."""
    found = {f"cut-{length}": good[:length] for length in range(len(good))}
    for number in range(1000 if soak else 100):
        begin = chance.randrange(len(good))
        length = chance.choice([1, 4, 64, len(good)])
        for what, stretch in (("zeros", bytes(length)), ("noise", chance.randbytes(length)), ("high", b"\xff" * length)):
            found[f"{what}-{number}"] = good[:begin] + stretch + good[begin + length :]
    return found


def unreadable(text):
    """That no byte of it can be what was written: a name or a number that is merely another is not seen by anyone."""
    return b"\0" in text or b"\xff" in text or b"</domain>" not in text


def test_definitions(world, chance, soak, record):
    """Each kind of damage to a file of its own, all of them before one daemon."""
    template = world.connection.defineXML(xml.bare("template", devices=xml.CONSOLE + xml.RNG))
    good = (world.config / "template.xml").read_bytes()
    template.undefine()
    stop(world)
    written = {}
    for what, damaged in damages(good, chance, soak).items():
        own = damaged.replace(b"<name>template<", f"<name>{what}<".encode()).replace(template.UUIDString().encode(), str(uuids.uuid4()).encode())
        written[what] = own
        (world.config / f"{what}.xml").write_bytes(own)
    world.begin()
    served = {domain.name(): domain for domain in world.connection.listAllDomains()}
    assert served.keys() >= {"bystander", "honest"}
    world.controllable(served["honest"])
    log = world.server.log.read_text(errors="replace")
    lost = 0
    for what, own in written.items():
        file, aside = world.config / f"{what}.xml", world.config / f"{what}.xml.broken"
        if what in served:
            assert not unreadable(own), f"{what} is served"
            assert file.read_bytes() == own and not aside.exists()
            continue
        kept = aside.exists() and aside.read_bytes() == own and not file.exists()
        lost += not kept
        assert kept, f"{what} is neither served nor kept aside"
        assert f"/{what}.xml'" in log, f"nothing is said of {what}"
    record("a definition cut short or overwritten", len(written), lost)
    # What was kept aside is served once it is whole again.
    one = next(what for what in written if what not in served)
    (world.config / f"{one}.xml.broken").unlink()
    (world.config / f"{one}.xml").write_bytes(good.replace(b"<name>template<", f"<name>{one}<".encode()))
    stop(world)
    world.begin()
    assert world.lookup(one).UUIDString() == template.UUIDString()


def test_what_is_no_definition(world, base, record):
    """In the definitions' places: a folder, a pipe, links, a file of a gigabyte, another domain's name, two files of one domain."""
    good = (world.config / "bystander.xml").read_text()
    uuid = world.lookup("bystander").UUIDString()
    stop(world)
    (world.config / "folder.xml").mkdir()
    os.mkfifo(world.config / "pipe.xml")
    (world.config / "nowhere.xml").symlink_to("/nowhere")
    (world.config / "loop.xml").symlink_to("loop.xml")
    with open(world.config / "large.xml", "wb") as large:
        large.truncate(1 << 30)
    (world.config / "other.xml").write_text(good)
    (world.config / "twice.xml").write_text(good.replace("<name>bystander<", "<name>twice<").replace("<vcpu", "<title>not the same</title><vcpu"))
    (world.config / "deep.xml").write_text("<domain>" * 100000)
    (world.config / "notes.txt").write_text("not ours")
    (world.config / "autostart" / "folder.xml").mkdir()
    world.begin()
    names = {domain.name() for domain in world.connection.listAllDomains()}
    assert "honest" in names and len(names & {"bystander", "twice"}) == 1 and len(names) == 2
    assert world.connection.lookupByUUIDString(uuid)
    assert (world.config / "notes.txt").read_text() == "not ours"
    log = world.server.log.read_text()
    for what in ("large", "other", "deep"):
        assert (world.config / f"{what}.xml.broken").exists() and f"{what}.xml'" in log
    record("something else in a definition's place", 9, 0)


def test_state_files_of_machines_that_run(world, chance, soak, record):
    """Its machine goes on unmanaged; with its state file whole again the next daemon manages it."""
    state = world.state / f"{world.lookup('honest').UUIDString()}.json"
    good = state.read_bytes()
    other = world.connection.createXML(xml.bare("victim", devices=xml.CONSOLE), PAUSED)
    pid = host.emulator_pid(other.UUIDString())
    victim = world.state / f"{other.UUIDString()}.json"
    whole = victim.read_bytes()
    values = json.loads(whole)
    cases = [whole[: len(whole) * part // 7] for part in range(7)] + [chance.randbytes(len(whole)), bytes(len(whole)), b"[" * 100000]
    for key in values:
        cases.append(json.dumps({name: value for name, value in values.items() if name != key}).encode())
        for wrong in ([], "x" * 10000, {"a": 1}, None, 1 << 70):
            if key not in ("cgroup", "folder", "hugepages") or not isinstance(wrong, str):
                cases.append(json.dumps({**values, key: wrong}).encode())
    if not soak:
        cases = cases[:10] + chance.sample(cases[10:], 10)
    lost = 0
    for number, damaged in enumerate(cases):
        stop(world)
        victim.write_bytes(damaged)
        world.begin()
        assert state.read_bytes() == good and world.lookup("honest").isActive()
        world.controllable(world.lookup("honest"))
        assert host.emulator_pid(other.UUIDString()) == pid, f"{damaged[:200]} has ended its machine"
        aside = victim.with_name(f"{victim.name}.broken")
        names = [domain.name() for domain in world.connection.listAllDomains()]
        if "victim" in names:  # something it could do without
            world.controllable(world.lookup("victim"))
        else:
            kept = aside.exists() and aside.read_bytes() == damaged
            lost += not kept
            assert kept, f"the state file is gone: {damaged[:200]}"
            assert f"{victim.name}'" in world.server.log.read_text(errors="replace")
        stop(world)
        aside.unlink(missing_ok=True)
        victim.write_bytes(whole)
        world.begin()
        world.controllable(world.lookup("victim"))
    record("a state file cut short, overwritten or of wrong values", len(cases), lost)
    world.lookup("victim").destroy()
    until(lambda: host.emulator_pid(other.UUIDString()) is None, "the machine to end")
    assert world.leftovers() == []


def test_state_files_of_machines_that_ended(world, chance, soak, record):
    """Cut at every length, all of them before one daemon."""
    domain = world.connection.createXML(xml.bare("victim", devices=xml.CONSOLE), PAUSED)
    victim = world.state / f"{domain.UUIDString()}.json"
    good, uuid = victim.read_bytes(), domain.UUIDString()
    domain.destroy()
    stop(world)
    written = {}
    for what, damaged in damages(good, chance, soak).items():
        own_uuid = str(uuids.uuid4())
        own = damaged.replace(uuid.encode(), own_uuid.encode()).replace(b">victim<", f">{what}<".encode())
        written[world.state / f"{own_uuid}.json"] = own
        (world.state / f"{own_uuid}.json").write_bytes(own)
    world.begin()
    world.controllable(world.lookup("honest"))
    assert {each.name() for each in world.connection.listAllDomains()} == {"bystander", "honest"}
    lost = 0
    for file, own in written.items():
        aside = file.with_name(f"{file.name}.broken")
        if aside.exists():
            assert aside.read_bytes() == own and not file.exists()
        elif file.exists():
            lost += 1
    record("a state file of a machine that ended", len(written), lost)
    assert lost == 0
