"""A stand-in of a Firecracker that went on from a memory's file: it maps that privately, and serves the requests of a capture on its API socket. As the real
one does before it says what state its devices are in, it writes to its guest's memory when a snapshot is asked for. The real one runs in the lab.
Arguments: the socket, the memory's file, what it writes, where to (a page's number)."""
import json, mmap, os, re, socket, sys, time

path, memory, word, page = sys.argv[1:5]
file = os.open(memory, os.O_RDONLY)
guest = mmap.mmap(file, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
while True:
    connection, _ = server.accept()
    data = b""
    while True:
        match = re.match(rb"(?s)(\w+) (\S+) HTTP/1\.\d\r\n(.*?)\r\n\r\n", data)
        length = int((re.search(rb"(?i)content-length: (\d+)", match.group(3)) or [0, 0])[1]) if match else 0
        if match and len(data) >= match.end() + length:
            body = data[match.end() : match.end() + length]
            data = data[match.end() + length :]
            if match.group(2) == b"/snapshot/create":
                time.sleep(0.2)
                at = int(page) * 4096
                guest[at : at + len(word)] = word.encode()
                with open(json.loads(body)["snapshot_path"], "w") as state:
                    state.write("state")
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            continue
        more = connection.recv(65536)
        if not more:
            break
        data += more
