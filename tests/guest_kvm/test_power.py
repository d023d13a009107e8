"""How a guest comes to an end, to a stop, or to a new beginning."""
import time


def test_reboot_resets_within_the_program_and_the_power_button_is_pressed(start):
    guest = start(cpus=2)
    program = guest.host.run(f"cat {guest.folder}/pid")
    guest.run("echo before >/root/mark; sync")
    guest.console.send("reboot\n")
    assert guest.qmp.event("RESET")["guest"] is True
    guest.log_in()
    assert guest.run("cat /root/mark") == "before"
    assert guest.qmp.ask("query-status")["running"]
    assert not any(event["event"] == "RESET" for event in guest.qmp.events), "Linux asks for it several times"
    assert guest.host.run(f"cat {guest.folder}/pid") == program
    # The guest's acpid reads the key from the button's input device, says so and powers off.
    guest.qmp.ask("system_powerdown")
    guest.qmp.event("POWERDOWN")
    guest.console.wait("guest: power button")
    assert guest.qmp.event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
    assert guest.ended() == 0


def test_reset_from_outside_amid_writes(start):
    guest = start("-no-shutdown", cpus=2)
    guest.run("mkdir /root/records")
    guest.console.send("exerciser promise /root/records &\n")
    promised = guest.console.wait(r"/root/records (\d\d)\r\n")[1].decode()
    guest.qmp.ask("system_reset")
    assert guest.qmp.event("RESET")["guest"] is False
    guest.log_in()
    guest.run(f"exerciser kept /root/records {promised}")
    guest.console.send("poweroff\n")
    guest.qmp.event("SHUTDOWN")
    assert guest.qmp.ask("query-status")["status"] == "shutdown"
    guest.qmp.ask("quit")
    assert guest.ended() == 0


def test_reboot_ends_a_machine_that_must_not(start):
    guest = start("-no-reboot")
    guest.console.send("reboot\n")
    assert guest.qmp.event("SHUTDOWN") == {"guest": True, "reason": "guest-reset"}
    assert guest.ended() == 0


def test_the_clock_stands_while_the_machine_is_stopped(start):
    guest = start()
    assert guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource") == "kvm-clock"
    uptime = lambda: float(guest.run("cat /proc/uptime").split()[0])  # noqa: E731
    before, begun = uptime(), time.monotonic()
    guest.qmp.ask("stop")
    time.sleep(30)  # more than a watchdog bears
    guest.qmp.ask("cont")
    assert uptime() - before < time.monotonic() - begun - 25
    assert guest.run("dmesg | grep -ci 'lockup\\|stall'", status=1) == "0"


def test_a_panic_is_reported(start):
    guest = start(append="panic=0")
    guest.console.send("echo c >/proc/sysrq-trigger\n")
    assert guest.qmp.event("GUEST_PANICKED")["action"] == "pause"
    assert guest.qmp.ask("query-status") == {"status": "guest-panicked", "running": False, "singlestep": False}
    guest.qmp.ask("quit")
    assert guest.ended() == 0
