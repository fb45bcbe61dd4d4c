"""A guest's network card without a guest: tap-guest.py TAP NAMESPACE ADDRESS GATEWAY

Opens the tap as a VMM does and carries its frames to a card eth0 in a network namespace of that name, which then is
what a guest's kernel would be. Prints "ready", and runs until it is killed.
"""

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", name.encode(), 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    return tap


tap, namespace, address, gateway = sys.argv[1:]
here = open_tap(tap)
subprocess.run(["ip", "netns", "add", namespace], check=True)
namespace_file = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
if ctypes.CDLL(None).setns(namespace_file, 0x40000000) != 0:  # CLONE_NEWNET
    sys.exit("setns failed")
there = open_tap("eth0")
for words in ("link set lo up", "link set eth0 up", f"addr add {address}/30 dev eth0", f"route add default via {gateway}"):
    subprocess.run(["ip", *words.split()], check=True)
print("ready", flush=True)
other = {here: there, there: here}
while True:
    for source in select.select(list(other), [], [])[0]:
        os.write(other[source], os.read(source, 65536))
