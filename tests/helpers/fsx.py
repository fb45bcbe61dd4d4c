"""fsx: one file, on which a program does by chance whatever changes or reads one, and a model of it in memory that each answer is compared with.
Arguments: the file, a seed, how many operations. Ends with the length and the SHA-256 of what the file has to be, or with the first thing that is not
so and what was done before."""

import collections, ctypes, errno, hashlib, mmap, os, random, sys

PATH, SEED, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
MOST = 256 * 1024
PAGE = mmap.PAGESIZE
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
dice = random.Random(SEED)
model = bytearray()
log = collections.deque(maxlen=60)
counts = collections.Counter()
fd = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
end = os.open(PATH, os.O_WRONLY | os.O_APPEND)
mapped = None  # a mapping that outlives operations


def wrong(what):
    print("\n".join(log))
    print(f"seed {SEED}, operation {sum(counts.values())}: {what}")
    sys.exit(1)


def same(got, at, what):
    wanted = bytes(model[at : at + len(got)])
    if got == wanted:
        return
    if len(got) != len(wanted):
        wrong(f"{what}: {len(got)} bytes at {at}, not {len(wanted)}")
    first = next(n for n in range(len(got)) if got[n] != wanted[n])
    differing = sum(a != b for a, b in zip(got, wanted))
    wrong(f"{what}: byte {at + first} is {got[first]}, not {wanted[first]}; {differing} of {len(got)} differ")


def span(most):
    """A part of what may be a file: often at the boundaries of pages, where mistakes are."""
    at = dice.randrange(most)
    if dice.random() < 0.3:
        at -= at % PAGE
    length = dice.randrange(1, (most - at if dice.random() < 0.1 else min(most - at, dice.choice((16, 512, PAGE, 65536)))) + 1)
    return at, length


def put(at, data):
    if at > len(model):
        model.extend(bytes(at - len(model)))
    model[at : at + len(data)] = data


def resize(size):
    if size < len(model):
        del model[size:]
    else:
        model.extend(bytes(size - len(model)))


def read():
    at, length = span(MOST)
    log.append(f"read {at} {length}")
    got = os.pread(fd, length, at)
    if len(got) != max(0, min(length, len(model) - at)):
        wrong(f"read: {len(got)} bytes at {at} of a file of {len(model)}")
    same(got, at, "read")


def write():
    at, length = span(MOST)
    log.append(f"write {at} {length}")
    data = dice.randbytes(length)
    if os.pwrite(fd, data, at) != length:
        wrong("write: short")
    put(at, data)


def append():
    length = min(dice.randrange(1, 3000), MOST - len(model))
    if length <= 0:
        return
    log.append(f"append {length}")
    data = dice.randbytes(length)
    os.write(end, data)
    put(len(model), data)


def truncate():
    size = dice.randrange(MOST) if dice.random() < 0.5 else dice.randrange(len(model) + 1)
    log.append(f"truncate {size}")
    if dice.random() < 0.5:
        os.ftruncate(fd, size)
    else:
        os.truncate(PATH, size)
    resize(size)


def map_read():
    if not model:
        return
    at, length = span(len(model))
    log.append(f"mapread {at} {length}")
    with mmap.mmap(fd, len(model), access=mmap.ACCESS_READ) as m:
        same(m[at : at + length], at, "mapread")


def map_write():
    at, length = span(MOST)
    log.append(f"mapwrite {at} {length}")
    if at + length > len(model):
        os.ftruncate(fd, at + length)
        resize(at + length)
    data = dice.randbytes(length)
    with mmap.mmap(fd, len(model)) as m:
        m[at : at + length] = data
        if dice.random() < 0.3:
            m.flush()
    put(at, data)


def map_for_long():
    """One that stays while others write and read; of the file's first pages, and those there at its use alone."""
    global mapped
    if mapped is None and len(model) >= PAGE:
        log.append("map")
        mapped = mmap.mmap(fd, len(model) - len(model) % PAGE)
    elif mapped is not None and min(len(mapped), len(model)) >= PAGE:
        at, length = span(min(len(mapped), len(model)))
        same(mapped[at : at + length], at, "old mapping")
        data = dice.randbytes(length)
        log.append(f"write in old mapping {at} {length}")
        mapped[at : at + length] = data
        put(at, data)
        if dice.random() < 0.2:
            mapped.close()
            mapped = None


def allocate():
    at, length = span(MOST)
    mode = dice.choice((0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE))
    log.append(f"fallocate {mode} {at} {length}")
    if libc.fallocate(fd, mode, at, length) != 0:
        number = ctypes.get_errno()
        if number in UNSUPPORTED:  # not every file system of a host has each
            counts[f"unsupported {mode}"] += 1
            return
        wrong(f"fallocate: {os.strerror(number)}")
    if not mode & KEEP_SIZE and at + length > len(model):
        resize(at + length)
    if mode & (PUNCH_HOLE | ZERO_RANGE):
        upto = min(at + length, len(model))
        if upto > at:
            model[at:upto] = bytes(upto - at)


def copy():
    if len(model) < 2:
        return
    at, length = span(len(model))
    length = min(length, len(model) - at)
    to = dice.randrange(MOST - length + 1)
    if at < to + length and to < at + length:
        return
    log.append(f"copy {at} {to} {length}")
    done = 0
    while done < length:
        try:
            n = os.copy_file_range(fd, fd, length - done, at + done, to + done)
        except OSError as e:
            if e.errno in UNSUPPORTED and done == 0:
                counts["unsupported copy"] += 1
                return
            wrong(f"copy: {e}")
        if n == 0:
            wrong(f"copy: ended after {done}")
        put(to + done, bytes(model[at + done : at + done + n]))
        done += n


def holes():
    """What is said to be a hole has zeros, and data is looked for to the end."""
    at = 0
    log.append("holes")
    while at < len(model):
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                wrong(f"SEEK_DATA: {e}")
            data = len(model)
        if any(model[at:data]):
            wrong(f"SEEK_DATA: data between {at} and {data} is not told of")
        if data >= len(model):
            return
        at = os.lseek(fd, data, os.SEEK_HOLE)
        if not data < at <= len(model):
            wrong(f"SEEK_HOLE: {at} from {data} in a file of {len(model)}")


def reopen():
    global fd
    log.append("reopen")
    os.close(fd)
    fd = os.open(PATH, os.O_RDWR)


def sync():
    log.append("sync")
    dice.choice((os.fsync, os.fdatasync))(fd)


def forget():
    """The guest's caches go: what comes then is the host's."""
    log.append("forget")
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


OPERATIONS = [read] * 5 + [write] * 5 + [truncate, map_read, map_read, map_write, map_write, map_for_long, map_for_long]
OPERATIONS += [append, allocate, allocate, copy, holes, reopen, sync, forget]

for number in range(COUNT):
    operation = dice.choice(OPERATIONS)
    operation()
    counts[operation.__name__] += 1
    size = (os.fstat(fd) if dice.random() < 0.5 else os.stat(PATH)).st_size
    if size != len(model):
        wrong(f"size: {size}, not {len(model)}")
    if number % 50 == 0:
        same(os.pread(fd, MOST, 0), 0, "all of it")

if mapped is not None:
    mapped.close()
same(os.pread(fd, MOST, 0), 0, "all of it")
os.fsync(fd)
print(len(model), hashlib.sha256(model).hexdigest(), *(f"{name}={count}" for name, count in sorted(counts.items())))
