"""Runs a program on a terminal of its own: terminal.py COLS ROWS PROGRAM [ARGUMENT...]

stdin and stdout are the terminal's keyboard and screen. File descriptor 3 takes lines "COLS ROWS", which resize it.
Ends with the program's exit code, 128 + n if signal n ended it. The end of stdin hangs the terminal up.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios


def resize(terminal, cols, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def main():
    cols, rows = int(sys.argv[1]), int(sys.argv[2])
    pid, terminal = pty.fork()
    if pid == 0:
        resize(0, cols, rows)
        os.close(3)
        os.execvp(sys.argv[3], sys.argv[3:])
    sources = [0, 3, terminal]
    while terminal in sources:
        for source in select.select(sources, [], [])[0]:
            try:
                data = os.read(source, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                data = b""
            if source == terminal and data:
                os.write(1, data)
            elif source == 0 and data:
                os.write(terminal, data)
            elif source == 3 and data:
                for line in data.decode().split("\n"):
                    if line:
                        resize(terminal, *map(int, line.split()))
            else:
                sources.remove(source)
                if source == 0:
                    os.close(terminal)
                    sources = []
                    break
    status = os.waitpid(pid, 0)[1]
    sys.exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


main()
