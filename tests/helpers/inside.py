"""inside.py PID SHELL SCRIPT: runs a script where a process is and as what it is: in its namespaces, seeing its files, with its
user, without capabilities. The shell (busybox, static) is opened before: where the process is there need not be one.
The script "connect PORT" is ours: it connects to that port of 127.0.0.1."""

import ctypes
import fcntl
import os
import socket
import sys

pid, shell, script = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
NS_GET_USERNS = 0xB701  # ioctl_ns(2)


def check(result):
    if result != 0:
        sys.exit(f"inside.py: {os.strerror(ctypes.get_errno())}")


def ids(name):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:"))


uid, gid = ids("Uid"), ids("Gid")
program = os.open(shell, os.O_RDONLY)
spaces = [name for name in ("user", "ipc", "uts", "net", "pid", "mnt")
          if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")]
opened = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in spaces}
# A user namespace that its process made last owns none of the others: who may not enter them from here does so from their owner.
own = opened.pop("user", None)
if own is not None and "mnt" in opened:
    owner = fcntl.ioctl(opened["mnt"], NS_GET_USERNS)
    if os.path.sameopenfile(owner, own):
        own = None
    opened = {"user": owner, **opened}
for space in [*opened.values(), *([] if own is None else [own])]:
    check(libc.setns(space, 0))
child = os.fork()  # only children are in the pid namespace
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.chdir("/")
for capability in range(64):
    libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
if "user" not in spaces and os.getuid() == 0:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
if script.startswith("connect "):
    try:
        socket.socket().connect((b"127.0.0.1", int(script.split()[1])))
        sys.exit(0)
    except OSError as error:
        sys.exit(str(error))
os.execve(program, ["sh", "-c", script], {})
