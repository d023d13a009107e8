"""Where the StratoVirt driver answers otherwise than libvirt's QEMU driver, and why.

A test asks for `expected("name")` and gets what the daemon under test must do. Every other answer is the same from both.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Departure:
    libvirt: object
    ours: object
    why: str


DEPARTURES = {
    "hypervisor type": Departure("QEMU", "StratoVirt", "the driver's own identity"),
    "native format": Departure("qemu-argv", "qemu-argv", "the same word; ours knows stratovirt-argv beside it"),
    "machine type": Departure(r"pc-q35-\d+\.\d+", "q35", "a definition keeps q35 and so moves between emulators; libvirt writes the version into it. What runs is called by its version by both"),
    "devices of its own": Departure(True, False, "a description gets no usb, sata, input or audio device that was not written"),
    "255 character names": Departure(False, True, "files too long for a name are named by uuid"),
    "plain undefine with an nvram file succeeds": Departure(
        False, True, "the guide's own x86_64 example has an nvram file and a plain undefine; the file is kept"
    ),
    "nvram that is no regular file is deleted": Departure(True, False, "a device or a link in its place is not the machine's to remove"),
    "the guide's aliases are kept": Departure(False, True, "the guide names balloon, virtio-serial controller and console by <alias>"),
    "autodeflate is read from the alias": Departure(False, True, "the guide writes it there; dumpxml writes it where libvirt's schema has it"),
    "dumpxml is a fixed point at once": Departure(False, True, "libvirt sorts the controllers it adds only when it reads them again"),
    "what StratoVirt has no device for is refused": Departure(False, True, "a name libvirt knows and this emulator cannot honour is refused by name"),
    "a shut off machine has cpu time": Departure(True, False, "libvirt tells its own time there (it asks for the process 0)"),
    "other drivers in the same daemon": Departure(True, False, "libvirtd holds all of libvirt's drivers; here a list of what they have is empty"),
    "unix consoles are served": Departure(False, True, "virsh console reaches a console of type unix too, as a client of the emulator's socket"),
    "a size of hugepages without a mount is named": Departure(False, True, "libvirt 9.0 may lose the error while it undoes the start: its client gets none"),
    "the kernel's table of neighbours is read": Departure(False, True, "libvirt 9.0 refuses the length of what kernels of today answer"),
    "figures of each processor from mixed control groups": Departure(
        False, True, "where version 1 has cpuacct and version 2 is mounted too, libvirt asks version 2"
    ),
    "on_poweroff preserve": Departure(False, True, "the machine that is off stays to be looked at until it is destroyed"),
    # Refusals of a bad description, as (libvirt's error code, a word of the message); no code is no refusal.
    "an unknown machine": Departure((27, ""), (67, "frob"), "libvirt finds no PCI bus for its own devices before it looks at the machine"),
    "no vcpus": Departure((1, "vcpu"), (27, "vcpu"), "libvirt calls it its own internal error"),
    "a bus that is not there": Departure((None, ""), (27, "bus"), "libvirt adds 119 root ports"),
    "an image in use": Departure(1, 87, "the locks of images are looked at before the emulator is asked, as at a start"),
    "vCPUs come and go": Departure(True, False, "a StratoVirt's machine has no hotplug of vCPUs; their number is set for the next start"),
}

_NO_SUPPORT = r"1 error: (.* / error: )?this function is not supported by the connection driver: "
_LATER = "what no machine here can do, in a state in which libvirt's can"

# Commands of virsh that ours answers otherwise (test_commands.py), as patterns: (command, states, the answer's beginning, why).
_OWN_TIME = "libvirt tells its own time there (it asks for the process 0)"
_FEWER = "no cache monitors, halt polling, waits by the scheduler's debug file, numbers of a disk's chain or dirty rates are told"
_CPU = r" / cpu\.time=N / cpu\.user=N / cpu\.system=N"
_VCPU = r" / vcpu\.current=N / vcpu\.maximum=N( / vcpu\.N\.state=N / vcpu\.N\.time=N / vcpu\.N\.delay=N)+"
_BLOCK = r" / block\.count=N / block\.N\.name=vda / block\.N\.path=\S+( / block\.N\.[a-z.]+=N)* / block\.N\.allocation=N / block\.N\.capacity=N / block\.N\.physical=N"
COMMANDS = [
    ("version.*", "host", r"0 .* / Using API: StratoVirt N / Running hypervisor: StratoVirt N", "the driver's own identity"),
    ("node(cpu|mem)stats 1000", "host", r"1 error: .* / error: invalid argument: .*1000|1 error: .* / error: invalid argument: .*N", "the processor or cell is named"),
    ("cpu-models x86_64", "host", r"0 all CPU models are accepted$", "the emulators' own models are passed on, not libvirt's list"),
    ("allocpages .*", "host", _NO_SUPPORT, _LATER),
    ("(restore|save-image-dumpxml) .*", "host", r"1 error: (.* / error: )?operation failed: no machine is restored", "there is no save image, whatever the file is"),
    ("dompmwakeup .*", "running|paused|transient", r"1 error: .* / error: internal error: guest is not in suspended state$", "the emulator is not asked"),
    ("set-lifecycle-action NAME reboot destroy", "inactive|running|paused|transient", _NO_SUPPORT, _LATER),
    ("set-lifecycle-action NAME reboot destroy --config", "inactive|running|paused", _NO_SUPPORT, _LATER),
    ("migrate-getspeed .*", "inactive|running|paused|transient", _NO_SUPPORT, _LATER),
    ("(domdirtyrate-calc|domblkthreshold) .*", "running|paused|transient", _NO_SUPPORT, _LATER),
    ("domtime NAME --(now|sync)", "inactive", r"1 error: Requested operation is not valid: domain is not running$", "libvirt looks at the emulator's commands before the state"),
    ("shutdown NAME --mode acpi,agent", "inactive", r"1 error: .* / error: Requested operation is not valid: domain is not running$", "libvirt 9.0 tells of a success"),
    ("domifaddr NAME --source arp", "running|paused|transient|readonly", r"0 Name MAC address Protocol Address", "libvirt 9.0 refuses the length of what kernels of today answer"),
    ("domstats NAME --cpu-total", "inactive", r"0 Domain: 'NAME'$", _OWN_TIME),
    ("domstats NAME", "inactive", rf"0 Domain: 'NAME' / state\.state=N / state\.reason=N(?!.* cpu\.time)(?=.* balloon\.maximum=N)(?=.* vcpu\.maximum=N).*{_BLOCK}$", _OWN_TIME),
    ("domstats NAME --cpu-total", "running|paused|transient|readonly", rf"0 Domain: 'NAME'{_CPU}$", _FEWER),
    ("domstats NAME --vcpu", "running|paused|transient|readonly", rf"0 Domain: 'NAME'{_VCPU}$", _FEWER),
    ("domstats NAME --block( --backing)?", "running|paused|transient|readonly", rf"0 Domain: 'NAME'.*{_BLOCK}$", _FEWER),
    ("domstats NAME --dirtyrate", "running|paused|transient|readonly", r"0 Domain: 'NAME'$", _FEWER),
    ("domstats NAME", "running|paused|transient|readonly", rf"0 Domain: 'NAME' / state\.state=N / state\.reason=N{_CPU}(?=.* balloon\.current=N)(?=.* balloon\.rss=N).*{_VCPU}(?=.* net\.count=N)(?=.* net\.N\.tx\.drop=N)(?=.* block\.count=N / block\.N\.name=vda / )", _FEWER),
    ("iothreadadd NAME 7 --config", "inactive|running|paused", r"1 error: Operation not supported: IOThreads are numbered without a gap: the next is N$", "a description has a number of IOThreads, not their ids"),
    ("attach-device NAME BASE/graphics.xml --config", "inactive|running|paused", r"1 error: .* / error: unsupported configuration: element 'graphics' is not supported", "what no emulator here has is refused by name"),
    ("migrate-compcache NAME", "running|paused|transient|readonly", _NO_SUPPORT, _LATER),
]

# Calls on the wire that ours answers otherwise (test_procedures.py), as COMMANDS. An answer begins with "code/part of libvirt".
_UNREAD = "what is to be made is not read where nothing is made of it"
_ARGUMENTS_LATER = "the domain and its state are looked at, the arguments never are"
_NONE_HERE = "what no machine here can do, in a state in which libvirt's can"
_RUNS = "running|paused|transient"
PROCEDURES = [
    ("(network|storage_pool|node_device|secret|nwfilter|nwfilter_binding)_(create|define)_xml(_flags)?", "nothing", "3/", _UNREAD),
    ("domain_migrate_(prepare|finish).*|connect_(compare|baseline)_(hypervisor_)?cpu", ".*", "3/|29/", "no machine comes from another host, and no processor is described for one"),
    ("connect_find_storage_pool_sources|connect_get_storage_pool_capabilities", ".*", "3/|29/", "no storage is managed"),
    ("domain_(snapshot_create_xml|backup_begin|checkpoint_create_xml)", f"inactive|{_RUNS}", "3/20 |3/35 |3/69 |55/20 |84/", _UNREAD),
    ("domain_block_copy .*", f"inactive|{_RUNS}", "3/|55/20|8/10 invalid argument: disk 'absent' not found", _UNREAD),
    ("domain_fs(freeze|thaw)", "inactive", "55/10 Requested operation is not valid: domain is not running$", "one answer to all that an agent is asked"),
    ("domain_(restore|save_image).*", "nothing", "9/", "there is no save image, whatever the file is"),
    ("domain_(core_dump|save)(_with_format|_flags|_params)?|domain_managed_save", _RUNS, "3/", _NONE_HERE),
    ("domain_managed_save_remove", ".*", "38/10 Failed to remove managed save file of 'NAME': No such file|42/|29/", "there is no path that the file could have"),
    ("domain_(migrate_(perform|begin3).*|migrate_set_max_downtime|migrate_(get|set)_compression_cache|migrate_get_max_downtime)", f"{_RUNS}|readonly", "3/|29/|55/", _NONE_HERE),
    ("domain_migrate_[gs]et_max_speed", f"inactive|{_RUNS}", "3/", _NONE_HERE),
    ("domain_(block_(pull|resize|rebase|commit|peek)|set_block_threshold) vda", f"inactive|{_RUNS}", "3/|55/20", _NONE_HERE),
    ("domain_(inject_nmi|start_dirty_rate_calc)", _RUNS, "3/", _NONE_HERE),
    ("domain_(set_lifecycle_action|memory_peek)", f"inactive|{_RUNS}", "3/|55/20", _NONE_HERE),
    ("domain_set_(memory|blkio|numa|interface)_parameters|domain_set_(perf_events|iothread_params|user_password|guest_vcpus|vcpu|launch_security_state)|domain_send_key|domain_pm_suspend_for_duration|domain_get_interface_parameters|domain_open_graphics(_fd)?", "nothing|inactive|running|paused|transient|readonly", "3/|42/|55/|74/|84/10 Operation not supported: setting a launch secret|1/10 internal error: No graphics backend|29/", _ARGUMENTS_LATER),
    ("node_(set_memory_parameters|alloc_pages)", "nothing", "3/", "the host's memory is not arranged by this driver"),
    ("connect_domain_event_(de)?register(_any|( without arguments))?", ".*", "3/", "what clients before libvirt 0.9.13 used; later ones use the calls with callbacks"),
    ("node_num_of_devices|node_list_devices|connect_num_of_interfaces|connect_list_interfaces|connect_list_all_(interfaces|node_devices)", ".*", "ok 0+$", "no other driver is here, and a list of what it has is empty"),
    ("node_device_(dettach|detach_flags|lookup_scsi_host_by_wwn)", ".*", "53/|29/", "there is no device, whatever can be done with one"),
    ("secret_set_value", "nothing", "66/", "there is no secret, whatever its value"),
    ("domain_pm_wakeup", _RUNS, "1/10 internal error: guest is not in suspended state", "the emulator is not asked"),
    ("domain_get_perf_events", ".*", "ok 0+$|42/", "no event can be measured"),
    ("auth_(polkit|sasl_.*) without arguments", "readonly", "3/0 ", "who may connect is settled by the socket; libvirt says that it forgot to say why"),
    ("network_[gs]et_metadata( without arguments)?", ".*", "43/|29/|39/7 Unable to decode", "a call of a later libvirt than the one asked"),
]
