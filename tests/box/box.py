"""A KVM host in software: QEMU emulates a processor with virtualization, Linux on it has a /dev/kvm that works, and what is
built here runs inside. It offers a host and holds no tests.

    tests/box/run [options] -- COMMAND…      runs COMMAND in the box, streams what it prints, ends with its status
    tests/box/serve [options]                leaves a box up with the daemon in it, its TCP port forwarded to loopback

The payload is put together from the build and from this host's own programs, each with the libraries it loads, and made into
one read-only disk; it is made again only when one of them changed.
"""

import argparse
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[1]
BUILD = TREE / "build"
CACHE = BUILD / "box"
MODULES = """
virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk virtio_console virtio-rng irqbypass kvm
kvm-amd tun tap llc stp bridge vhost_iotlb vhost vhost_net vsock vmw_vsock_virtio_transport_common vhost_vsock failover
net_failover virtio_net libcrc32c erofs overlay
""".split()
MODULE_OPTIONS = {"kvm-amd": "nested=0"}
# What a host of libvirt's has; looked up on this one.
PROGRAMS = "virsh ip ps qemu-system-x86_64 e2fsck mke2fs dd strace unshare nsenter".split()
APPLETS = """
sh ash cat chmod chown cp cut date dd df dmesg echo env expr false find grep head hostname id ifconfig insmod kill killall ln ls
mkdir mkfifo mknod mount mv nc poweroff printf pgrep pkill readlink rm rmdir sed seq sha256sum sleep sort stat stty sync tail tar
tee test time timeout touch tr true umount uname uniq wc which xargs yes
""".split()


class BoxError(Exception):
    """The box could not be made or came to no end."""


def say(text):
    print(f"box: {text}", file=sys.stderr, flush=True)


def run(*command, **options):
    return subprocess.run(list(map(str, command)), check=True, **options)


def stamp_of(paths, *more):
    digest = hashlib.sha256("\0".join(map(str, more)).encode())
    inside = [file for path in map(pathlib.Path, paths) for file in ([path, *path.rglob("*")] if path.is_dir() else [path])]
    for path in sorted(map(str, inside)):
        status = os.stat(path)
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def once(target, stamp, make):
    """Makes `target` unless it was made from the same inputs."""
    mark = target.with_suffix(target.suffix + ".stamp")
    if target.exists() and mark.exists() and mark.read_text() == stamp:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    make(target)
    mark.write_text(stamp)
    return target


# --- the host's kernel and first file system


def kernel():
    """Debian's cloud kernel, unpacked: (its image, its modules)."""
    folder = CACHE / "kernel"
    if not (folder / "done").exists():
        say("downloading the host's kernel")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        depends = run("apt-cache", "depends", "linux-image-cloud-amd64", capture_output=True, text=True).stdout
        package = re.search(r"Depends: (linux-image-\S+)", depends)
        if not package:
            raise BoxError("apt knows no linux-image-cloud-amd64; run apt-get update")
        run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package[1], cwd=folder, stdout=subprocess.DEVNULL)
        run("dpkg-deb", "-x", next(folder.glob("*.deb")), folder)
        (folder / "done").touch()
    return next((folder / "boot").glob("vmlinuz-*")), next((folder / "lib/modules").iterdir())


def initrd():
    _, modules = kernel()
    inputs = [HERE / "init", HERE / "inside", modules, shutil.which("busybox")]

    def make(target):
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            root = pathlib.Path(name)
            for folder in "bin dev proc sys lower upper root modules".split():
                (root / folder).mkdir()
            shutil.copy(shutil.which("busybox"), root / "bin/busybox")
            for script in ("init", "inside"):
                shutil.copy(HERE / script, root / script)
            order = []
            files = {path.stem.replace("-", "_"): path for path in modules.rglob("*.ko")}
            for module in MODULES:
                path = files.get(module.replace("-", "_"))
                if not path:
                    continue  # built into the kernel
                shutil.copy(path, root / "modules")
                order.append(f"{path.name} {MODULE_OPTIONS.get(module, '')}\n")
            (root / "modules/order").write_text("".join(order))
            # Uncompressed, it is ready sooner.
            with open(target, "wb") as out:
                names = "\n".join(str(path.relative_to(root)) for path in [root, *root.rglob("*")])
                run("cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0", cwd=root, input=names.encode(), stdout=out)

    return once(CACHE / "initrd.img", stamp_of(inputs, MODULES, MODULE_OPTIONS), make)


# --- what is inside


def libraries(program):
    """The files a program loads."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True)
    return [] if listed.returncode else re.findall(r"(/\S+) \(0x", listed.stdout)


def python_with(modules):
    """The places of this host's Python and of modules that it finds."""
    interpreter = pathlib.Path("/usr/bin/python3").resolve()
    library = pathlib.Path("/usr/lib", interpreter.name)
    places = {"/usr/bin/python3": interpreter, str(library): library}
    packages = pathlib.Path("/usr/lib/python3/dist-packages")
    for module in modules:
        found = [path for name in (module, f"{module}.py", f"{module}.*.so") for path in packages.glob(name)]
        if not found:
            raise BoxError(f"{packages} has no {module}")
        places |= {str(path): path for path in found}
    return places


def payload(given):
    """One disk of the build's programs, the host's, the guest's files, and what the caller names as FROM:TO."""
    programs = given.bin
    run(TREE / "tests/guest/build", BUILD / "guest/x86_64", stdout=sys.stderr)
    places = {}
    for program in ("virtstratovirtd", "stratovirt"):
        built = programs / program
        if built.exists():
            places["/usr/sbin/" + program if program.endswith("d") else "/usr/bin/" + program] = built
    for name in PROGRAMS + given.programs:
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if found:
            places["/usr/bin/" + name] = pathlib.Path(found)
    for image in ("vmlinuz", "initrd.img", "root.img"):
        places["/guest/" + image] = BUILD / "guest/x86_64" / image
    if given.modules:
        places |= python_with(given.modules)
    for pair in given.extra:
        source, _, target = pair.partition(":")
        places[target or "/" + pathlib.Path(source).name] = pathlib.Path(source).resolve()
    files = [file for path in places.values() for file in ([path] if path.is_file() else path.rglob("*.so"))]
    loaded = {library for file in files for library in libraries(file)}
    busybox = shutil.which("busybox")
    folders = [pathlib.Path(path) for path in ("/usr/share/qemu", "/usr/share/seabios", "/usr/share/libvirt/schemas") if os.path.isdir(path)]
    stamp = stamp_of([*places.values(), *loaded, busybox, *folders, __file__], sorted(places))

    def make(target):
        say("putting the payload together")
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            root = pathlib.Path(name)
            for folder in "bin dev etc out proc root run sbin sys tmp usr/bin usr/sbin usr/lib var/log var/lib var/tmp lib lib64".split():
                (root / folder).mkdir(parents=True, exist_ok=True)
            (root / "var/run").symlink_to("../run")
            (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nlibvirt-qemu:x:64055:103::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n")
            (root / "etc/group").write_text("root:x:0:\ntty:x:5:\nkvm:x:103:\nlibvirt:x:104:\nlibvirt-qemu:x:64055:\nnogroup:x:65534:\n")
            (root / "etc/machine-id").write_text(hashlib.md5(b"box").hexdigest() + "\n")
            (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
            shutil.copy(busybox, root / "bin/busybox")
            for applet in APPLETS:
                (root / "bin" / applet).symlink_to("busybox")
            for to, source in places.items():
                place = root / to.lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, place, dirs_exist_ok=True)
                else:
                    shutil.copy(source, place)
            for library in loaded:
                place = root / library.lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, place)
            for folder in folders:
                shutil.copytree(folder, root / str(folder).lstrip("/"), dirs_exist_ok=True, ignore_dangling_symlinks=True)
            run("mkfs.erofs", "--all-root", target, root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    key = hashlib.sha256("\0".join([*sorted(places), str(programs.resolve())]).encode()).hexdigest()[:12]
    return once(CACHE / f"payload-{key}.erofs", stamp, make)


# --- the box


def options(parser):
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="the emulator outside")
    parser.add_argument("--smp", type=int, default=2)
    parser.add_argument("--mem", type=int, default=3072, help="MiB of the host in the box")
    parser.add_argument("--icount", action="store_true", help="time is instructions: a nanosecond each, one processor")
    parser.add_argument("--bin", type=pathlib.Path, default=BUILD / "release/bin", help="where the build's programs are")
    parser.add_argument("--program", dest="programs", action="append", default=[], metavar="NAME", help="one more program of this host's")
    parser.add_argument("--python", dest="modules", action="append", default=[], metavar="MODULE", help="this host's Python with that module")
    parser.add_argument("--with", dest="extra", action="append", default=[], metavar="FROM:TO", help="a file or folder to put inside")
    parser.add_argument("--out", type=pathlib.Path, help="where what is in /out at the end is put")
    parser.add_argument("--append", default="", help="more for the kernel's command line, as hugepages=256")
    parser.add_argument("--timeout", type=float, default=600, help="seconds")
    parser.add_argument("--log", type=pathlib.Path, help="where the kernel's words go")


# A VM of no processor, there as long as the box. With the first VM and after the last the kernel rewrites its scheduler's code (a static
# key), and a processor that QEMU emulates may go on executing the breakpoint that stood there meanwhile: then the box stands still.
KEEP = "qemu-system-x86_64 -machine none -accel kvm -nodefaults -no-user-config -display none </dev/null >/dev/null 2>&1 &\n"


def command_line(given, script, out, forward=None, more=()):
    image, _ = kernel()
    # The command travels in an initrd of its own behind the host's.
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        pathlib.Path(name, "run-in-box").write_text(script if given.icount else KEEP + script)
        packed = run("cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0", cwd=name, input=b"run-in-box\n", capture_output=True).stdout
    both = out.with_name("initrd.img")
    both.write_bytes(initrd().read_bytes() + packed)
    if given.icount:
        accelerator, paging = ["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off"], "+npt"
    else:
        # With several threads QEMU's nested paging lets an exit find the host's own state where the guest's should be: KVM's trace shows
        # both vCPUs at the instruction behind its VMRUN, with the host's CR3. So KVM shadows the guest's page tables instead.
        accelerator, paging = ["-accel", "tcg,thread=multi", "-smp", str(given.smp)], "-npt"
    network = ["-netdev", f"user,id=net{forward}", "-device", "virtio-net-pci,netdev=net"] if forward else []
    return [
        given.qemu, *accelerator, "-M", "q35", "-m", f"{given.mem}M", "-cpu", f"EPYC,+svm,{paging}",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(image), "-initrd", str(both), "-append", f"console=ttyS0 quiet panic=1 {given.append}",
        "-serial", f"file:{given.log or os.devnull}",
        "-device", "virtio-serial-pci", "-chardev", "stdio,id=command,signal=off", "-device", "virtconsole,chardev=command",
        "-drive", f"file={payload(given)},if=none,id=payload,format=raw,readonly=on",
        "-device", "virtio-blk-pci,drive=payload,serial=payload",
        "-drive", f"file={out},if=none,id=out,format=raw,cache=unsafe",
        "-device", "virtio-blk-pci,drive=out,serial=out",
        *network, *more,
    ]  # fmt: skip


def start(given, script, folder, forward=None, more=(), **streams):
    CACHE.mkdir(parents=True, exist_ok=True)
    out = folder / "out.img"
    with open(out, "wb") as disk:
        disk.truncate(256 << 20)
    with open(out.with_name("emulator.log"), "wb") as words:
        return subprocess.Popen(command_line(given, script, out, forward, more), stdin=subprocess.DEVNULL, stderr=words, **streams), out


def ended(out):
    """The error of a box that ended too soon, with its emulator's last words."""
    words = out.with_name("emulator.log").read_text(errors="replace").splitlines()
    return BoxError(": ".join(["the box ended before its command did", *[line for line in words if ": warning: " not in line][-1:]]))


def results(out, into):
    """What the command left in /out, and its status."""
    with tempfile.TemporaryDirectory() as name:
        target = into or pathlib.Path(name)
        target.mkdir(parents=True, exist_ok=True)
        try:
            with tarfile.open(out) as archive:
                archive.extractall(target, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(target)
        except tarfile.TarError as error:
            raise ended(out) from error
        status = target / "status"
        if not status.exists():
            raise ended(out)
        code = int(status.read_text())
        status.unlink()
        return code


def main_run(arguments):
    parser = argparse.ArgumentParser(prog="tests/box/run", description="Runs a command on a KVM host in software.")
    options(parser)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    script = " ".join("'" + word.replace("'", "'\\''") + "'" for word in given.command) + "\n"
    if len(given.command) == 1:
        script = given.command[0] + "\n"  # a line of shell
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        process, out = start(given, script, pathlib.Path(name))
        try:
            process.wait(given.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise BoxError(f"no end after {given.timeout:.0f} s")
        except BaseException:
            process.kill()
            raise
        return results(out, given.out)


def main_serve(arguments):
    parser = argparse.ArgumentParser(prog="tests/box/serve", description="Leaves a KVM host in software up, the daemon in it.")
    options(parser)
    parser.add_argument("--port", type=int, default=0, help="on loopback; 0 takes a free one")
    given = parser.parse_args(arguments)
    if not given.port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            given.port = probe.getsockname()[1]
    inner = 16509
    script = f"""
mkdir -p /etc/libvirt
printf 'listen_tcp = 1\\nlisten_addr = "0.0.0.0"\\ntcp_port = "{inner}"\\nauth_tcp = "none"\\n' >/etc/libvirt/virtstratovirtd.conf
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
virtstratovirtd &
until virsh -c stratovirt:///system uri >/dev/null 2>&1; do sleep 0.2; done
echo "box: stratovirt+tcp://127.0.0.1:{given.port}/system"
wait
"""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        forward = f",hostfwd=tcp:127.0.0.1:{given.port}-10.0.2.15:{inner}"
        process, _ = start(given, script, pathlib.Path(name), forward)
        try:
            return process.wait()
        finally:
            process.kill()


def main(which, arguments):
    # Asked to end, also one that a shell began in the background, with SIGINT ignored, takes its box with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return {"run": main_run, "serve": main_serve}[which](arguments)
    except (BoxError, subprocess.CalledProcessError) as error:
        print(f"tests/box/{which}: {error}", file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        return 130
