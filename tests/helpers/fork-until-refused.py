"""Joins the cgroup whose directory is the argument, and forks until that is refused: prints how often it was not, and errno."""
import os
import signal
import sys

with open(sys.argv[1] + "/cgroup.procs", "w") as members:
    members.write("0")
children = []
try:
    while len(children) < 5000:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except OSError as error:
    print(len(children), error.errno)
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
