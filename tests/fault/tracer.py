"""Ends a process at the N-th step that leaves a trace outside it, and tells each step it came to:

    tracer.py PID N

A step is a system call that changes a file, a name, an owner, a process, a network card, or sends something. strace can inject a signal
too, but counts the calls of each thread by itself, and the daemon's pool takes any thread: here all threads are counted together, and
children up to their exec. The process dies on entering the call, so that step N is the first that is not done. N = 0 only tells.
"""

import ctypes
import os
import re
import signal
import struct
import sys

SEIZE, INTERRUPT, SYSCALL, DETACH, GET_SYSCALL_INFO = 0x4206, 0x4207, 24, 17, 0x420E
TRACE_CHILDREN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10  # SYSGOOD, FORK, VFORK, CLONE, EXEC
EVENT_EXEC, EVENT_STOP, SYSCALL_STOP = 4, 128, signal.SIGTRAP | 0x80
WAIT_ALL = 0x40000000
CLONE_THREAD, O_CREAT = 0x10000, 0o100

# x86_64's numbers: the call's name and which of its arguments are paths (p) or descriptors (f) that tell the steps apart.
CALLS = {
    1: "write f", 18: "pwrite f", 20: "writev f", 40: "sendfile f", 44: "sendto f", 46: "sendmsg f", 49: "bind f", 16: "ioctl f",
    56: "clone", 57: "fork", 58: "vfork", 435: "clone3", 59: "execve p", 62: "kill", 234: "tgkill", 424: "pidfd_send_signal",
    74: "fsync f", 75: "fdatasync f", 77: "ftruncate f", 82: "rename pp", 264: "rename .p.p", 316: "rename .p.p", 326: "copy_file_range ..f",
    83: "mkdir p", 258: "mkdir .p", 84: "rmdir p", 87: "unlink p", 263: "unlink .p", 86: "link pp", 88: "symlink pp", 266: "symlink p.p",
    90: "chmod p", 91: "fchmod f", 268: "chmod .p", 92: "chown p", 93: "fchown f", 94: "chown p", 260: "chown .p", 112: "setsid", 117: "setresuid",
    2: "open p", 257: "open .p",
}  # fmt: skip
VARYING = [
    (r"\.new-\w{6}", ".new"), (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"), (r"domain-\d+-", "domain-"), (r"\[\d+\]", ""), (r"\d{3,}", "#"),
    (r"\S*/(run|etc|var)/(lib/|log/)?libvirt/", r"\1:"),
]  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, tid, address=None, data=None):
    return libc.ptrace(request, tid, address, data)


def entered(tid):
    """(number, arguments) of the call that the thread is about to make, None where it comes out of one."""
    info = ctypes.create_string_buffer(88)
    if ptrace(GET_SYSCALL_INFO, tid, len(info), ctypes.addressof(info)) <= 0 or info.raw[0] != 1:
        return None
    number, *arguments = struct.unpack_from("<7Q", info.raw, 24)
    return number, arguments


def text_at(tid, address):
    with open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(4096).split(b"\0")[0].decode(errors="replace")


def descriptor(tid, number):
    try:
        return os.readlink(f"/proc/{tid}/fd/{number & 0xFFFFFFFF}")
    except OSError:
        return "?"


def step(tid, number, arguments):
    """What the call does, in words that are the same each time; None for one that leaves no trace."""
    name, _, kinds = CALLS.get(number, "").partition(" ")
    if not name:
        return None
    if name == "open" and not arguments[kinds.index("p") + 1] & O_CREAT or name == "clone" and arguments[0] & CLONE_THREAD:
        return None
    words = []
    for kind, argument in zip(kinds, arguments):
        if kind == "p":
            words.append(text_at(tid, argument))
        elif kind == "f":
            words.append(descriptor(tid, argument))
    if name in ("write", "writev") and not words[0].startswith("/") or name == "ioctl" and "tun" not in words[0]:
        return None
    if words and words[0].startswith(("/proc/self/task", "/dev/null")):
        return None
    said = " ".join([name, *words])
    for pattern, word in VARYING:
        said = re.sub(pattern, word, said)
    return said


def main(process, last):
    for tid in map(int, os.listdir(f"/proc/{process}/task")):
        if ptrace(SEIZE, tid, None, TRACE_CHILDREN) < 0:
            sys.exit(f"cannot trace {tid}: {os.strerror(ctypes.get_errno())}")
        ptrace(INTERRUPT, tid)
    waiting = len(os.listdir(f"/proc/{process}/task"))
    count = 0
    while True:
        tid, status = os.waitpid(-1, WAIT_ALL)
        if not os.WIFSTOPPED(status):
            if tid == process:
                return
            continue
        number, event, deliver = os.WSTOPSIG(status), status >> 16, 0
        if number == SYSCALL_STOP:
            call = entered(tid)
            said = call and step(tid, *call)
            if said:
                count += 1
                os.write(1, f"{said}\n".encode())
                if count == last:
                    os.kill(process, signal.SIGKILL)
                    os.write(1, b"killed\n")
                    return
        elif event == EVENT_EXEC:  # from here on it is another program
            ptrace(DETACH, tid)
            continue
        elif event == EVENT_STOP and waiting:
            waiting -= 1
            if waiting == 0:
                os.write(1, b"ready\n")
        elif not event:
            deliver = number
        ptrace(SYSCALL, tid, None, deliver)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
