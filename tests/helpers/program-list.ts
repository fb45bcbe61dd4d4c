// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are for shells
/**
 * Command lines whose output depends on nothing but the guest's processor and system: what runs them, and from what they start, must not show. Used to
 * compare machines that translate with machines that go on with what others have translated.
 */
const python = (code: string): string => `python3 -c '${code}'`;
const perl = (code: string): string => `perl -e '${code}'`;

const HASHES = [
  "md5sum",
  "sha1sum",
  "sha224sum",
  "sha256sum",
  "sha384sum",
  "sha512sum",
  "b2sum",
  "cksum",
  "sum",
].map((program) => `seq 20000 | ${program}`);

const CORE = [
  "echo hi",
  "printf '%05d|%x|%o|%e\\n' 42 255 8 1.5",
  "seq 1 3 30 | tr '\\n' ' '",
  "seq 1000 | sort -R --random-source=/etc/passwd 2>/dev/null | sort -n | tail -3; true",
  "seq 5000 | shuf --random-source=/bin/true | md5sum",
  "seq 300 | paste - - - | column -t 2>/dev/null | md5sum; true",
  "seq 100 | fold -w 7 | nl | tail -4",
  "seq 5 | tac",
  "echo hello world | rev 2>/dev/null || echo no rev",
  "yes | head -c 100000 | wc",
  "head -c 100000 /dev/zero | od -An -tx1 | md5sum",
  "head -c 65536 /bin/sh | base64 | md5sum",
  "head -c 65536 /bin/sh | base64 | base64 -d | cmp - /bin/sh -n 65536 && echo same",
  "head -c 5000 /bin/sh | base32 | md5sum",
  "factor 1234567890123456789 18446744073709551557 999999000001",
  "expr 123456789 \\* 987654321",
  "echo $((0x7fffffffffffffff + 1)) $((7 % 3)) $((-7 / 2)) $((1 << 62))",
  "numfmt --to=iec 1 1023 1024 1048577 123456789012",
  "date -u -d @1234567890 +%F.%T.%j.%U",
  "TZ=Pacific/Auckland date -d @1234567890 +%c 2>&1 | head -1",
  "cut -d: -f1,3 /etc/passwd | head -5",
  "join -t: -j1 /etc/passwd /etc/passwd | head -3",
  "comm -12 /etc/passwd /etc/passwd | wc -l",
  "echo 'a b b c c d' | tsort",
  "stat -c '%a %s' /etc/passwd",
  "ls -1 /usr/bin | wc -l",
  "ls -lLn /bin/sh | cut -d' ' -f1",
  "find /usr/bin -type f | sort | md5sum",
  "find /etc -type f -size +4k 2>/dev/null | sort | wc -l",
  "du -s --apparent-size /usr/share/doc 2>/dev/null | cut -f1",
  "test -x /bin/sh && echo yes; [ 2 -gt 1 ] && echo more",
  "basename /a/b/c.txt .txt; dirname /a/b/c.txt; realpath -m /a/../b",
  "mkdir -p /tmp/l && cd /tmp/l && ln -sf a b && readlink b && rm -r /tmp/l",
  "truncate -s 1M /tmp/t && stat -c %s /tmp/t && rm /tmp/t",
  "dd if=/dev/zero bs=4096 count=100 2>/dev/null | tr '\\0' a | sha256sum",
  "seq 1000 | split -l 100 - /tmp/sp.; ls /tmp/sp.* 2>/dev/null | wc -l; rm -f /tmp/sp.*",
  "env -i A=1 B=2 env | sort",
  "id -u; id -gn; whoami",
  "nproc; arch; uname -sm",
  "timeout 5 true; echo $?; timeout 0.1 sleep 5; echo $?",
  "nice -n 5 nice",
  "seq 10 | xargs -n 3 echo",
  "seq 40 | xargs -P 1 -I{} sh -c 'echo $(({} * {}))' | md5sum",
  "seq 12 | pr -3 -t 2>/dev/null | md5sum",
  "echo aXbXc | tr X '\\n' | sort -r",
  "printf 'b 2\\na 10\\nc 1\\n' | sort -k2,2n",
  "sort -u /etc/services 2>/dev/null | md5sum",
  "seq 1000 | sum; seq 1000 | wc -c",
  "cmp /bin/sh /bin/cat | head -c 40; true",
  "bash -c 'diff <(seq 5) <(seq 6)'; echo $?",
];

const TEXT = [
  "grep -c bin /etc/passwd",
  "grep -E '^[a-d]' /etc/passwd | cut -d: -f1",
  "grep -oE '[0-9]+' /etc/passwd | sort -n | tail -2",
  "grep -rl root /etc/passwd /etc/group",
  "seq 10000 | grep -v 7 | wc -l",
  "seq 2000 | grep -P '^(1?)(2)\\d*\\2$' 2>/dev/null | wc -l",
  "sed -n '2,4p' /etc/passwd | md5sum",
  "seq 500 | sed 's/\\([0-9]\\)\\([0-9]\\)/\\2\\1/' | md5sum",
  "echo abc | sed 'y/abc/xyz/;s/x/&&/g'",
  "seq 30 | sed -n '$!{h;d};H;x;p' | md5sum",
  "seq 1000 | awk '{s += $1 * $1} END {print s}'",
  "awk 'BEGIN {for (i = 0; i < 2000; i++) a[i % 17] += i; for (i = 0; i < 17; i++) print a[i]}' | md5sum",
  "awk 'BEGIN {printf \"%.10f %.10f %.10f\\n\", sin(1), exp(1), log(2)}'",
  "awk 'BEGIN {printf \"%.12f\\n\", atan2(1, 2) * sqrt(3)}'",
  "awk -F: '{print $1, length($0)}' /etc/passwd | md5sum",
  'seq 200 | awk \'{print substr($0 "abcdef", 2, 3), toupper("x" $0)}\' | md5sum',
  "awk 'BEGIN {srand(1); for (i = 0; i < 5; i++) x += rand(); print (x > 0)}'",
];

const SHELL = [
  "for i in 1 2 3; do echo $i; done | tac",
  "f() { [ $1 -le 1 ] && echo 1 || echo $(( $1 * $(f $(( $1 - 1 ))) )); }; f 8",
  "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; echo $i",
  "case abc in a*) echo a;; *) echo no;; esac",
  "x=hello; echo ${x#he} ${x%lo} ${#x} ${y:-none}",
  "echo one two three | { read a b; echo $b; }",
  "trap 'echo got' USR1; kill -USR1 $$; echo after",
  "(trap 'echo bye' EXIT; exit 3); echo $?",
  "sh -c 'kill -9 $$' ; echo $?",
  "sh -c 'kill -SEGV $$' ; echo $?",
  "(sleep 0.05 & wait; echo waited)",
  "for i in $(seq 60); do (exit 0) & done; wait; echo all",
  "seq 50 | while read n; do echo $((n * 2)); done | tail -1",
  "set -- a b c; shift; echo $# $1",
  "cat <<X\nhere $((1+1))\nX",
  "mkfifo /tmp/f && (echo through > /tmp/f &) && cat /tmp/f && rm /tmp/f",
  "exec 3>/tmp/fd; echo x >&3; exec 3>&-; cat /tmp/fd; rm /tmp/fd",
  "ulimit -n; ulimit -c",
  "(ulimit -f 1; head -c 100000 /dev/zero > /tmp/big) 2>/dev/null; stat -c %s /tmp/big; rm -f /tmp/big",
  "umask 027; touch /tmp/u; stat -c %a /tmp/u; rm /tmp/u",
  'bash -c \'declare -A a; a[x]=1; a[y]=2; echo ${!a[@]} | tr " " "\\n" | sort\'',
  "bash -c '[[ abc123 =~ ([a-z]+)([0-9]+) ]] && echo ${BASH_REMATCH[2]}'",
  'bash -c \'printf "%q\\n" "a b"\'',
  "bash -c 'coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} x; echo $x'",
  "bash -c 'echo {1..20..3} ${RANDOM:+r}'",
  "bash -c 'shopt -s extglob; x=aaab; echo ${x/+(a)/z}'",
];

const ARCHIVES = ["gzip -n", "bzip2", "xz -T1", "zstd -q"].flatMap((program) => {
  const name = program.split(" ")[0]!;
  const there = `command -v ${name} > /dev/null || { echo no ${name}; exit 0; }`;
  return [
    `${there}; seq 30000 | ${program} -c | md5sum`,
    `${there}; seq 30000 | ${program} -c | ${name} -dc | md5sum`,
    `${there}; head -c 200000 /usr/bin/env | ${program} -c | ${name} -dc | md5sum`,
  ];
});

const FILES = [
  "tar -C /usr/share -c base-files --sort=name --mtime=@0 | md5sum",
  "tar -C /etc -c apt 2>/dev/null | tar -t | sort | md5sum",
  "cp -a /etc/apt /tmp/apt && diff -r /etc/apt /tmp/apt && echo same; rm -r /tmp/apt",
  "mkdir /tmp/many && cd /tmp/many && touch $(seq 400) && ls | sort -n | tail -1; rm -r /tmp/many",
  "echo data > /tmp/a && mv /tmp/a /tmp/b && cat /tmp/b && rm /tmp/b",
  "head -c 20000000 /dev/zero > /tmp/z && md5sum < /tmp/z && rm /tmp/z",
  "seq 200000 > /tmp/s && tail -n 1 /tmp/s && shred -n 1 -u /tmp/s && echo gone",
  "dd if=/dev/zero of=/tmp/h bs=1 seek=1M count=1 2>/dev/null; stat -c %s /tmp/h; rm /tmp/h",
  "chmod 4755 /tmp; stat -c %a /tmp; chmod 1777 /tmp",
  "touch -d @1000 /tmp/o && stat -c %Y /tmp/o && rm /tmp/o",
  "mount -t tmpfs t /mnt && echo in > /mnt/f && cat /mnt/f && umount /mnt && ls /mnt | wc -l",
  "sync; echo 3 > /proc/sys/vm/drop_caches; md5sum < /bin/sh | wc -c",
];

const SYSTEM = [
  "grep -c processor /proc/cpuinfo",
  "grep flags /proc/cpuinfo | tr ' ' '\\n' | sort | md5sum",
  "cat /proc/sys/kernel/randomize_va_space",
  "sysctl -n kernel.ostype kernel.pid_max 2>/dev/null",
  "echo 2 > /proc/sys/kernel/randomize_va_space; sh -c 'echo a'; echo 0 > /proc/sys/kernel/randomize_va_space; sh -c 'echo b'",
  "echo 1 > /proc/sys/vm/overcommit_memory; cat /proc/sys/vm/overcommit_memory; echo 0 > /proc/sys/vm/overcommit_memory",
  "echo 1 > /proc/sys/net/core/bpf_jit_enable 2>/dev/null; cat /proc/sys/net/core/bpf_jit_enable 2>/dev/null; true",
  "unshare -m sh -c 'mount -t tmpfs x /mnt; mount | grep -c /mnt'; mount | grep -c ' /mnt '",
  "unshare -p -f sh -c 'echo $$'",
  "unshare -u sh -c 'hostname inner; hostname'",
  "unshare -n sh -c 'ip link 2>/dev/null | grep -c lo:'",
  "ip -br link show lo 2>/dev/null | cut -d' ' -f1",
  "ps -o comm= -p 1",
  "kill -l | tr ' ' '\\n' | head -5 | tr '\\n' ' '",
  "mkdir -p /sys/fs/cgroup/x 2>/dev/null; rmdir /sys/fs/cgroup/x 2>/dev/null; echo done",
  "setsid sh -c 'echo session'",
  "su -s /bin/sh nobody -c 'id -un; cat /etc/shadow' 2>&1 | head -2",
  "getent passwd root nobody | cut -d: -f1",
  "ldd /bin/sh | grep -c libc",
  "strings /bin/sh 2>/dev/null | md5sum; true",
];

const GIT = [
  "git --version | cut -d' ' -f1,2",
  "printf hello | git hash-object --stdin",
  "export GIT_AUTHOR_DATE=@0+0000 GIT_COMMITTER_DATE=@0+0000; rm -rf /tmp/g; git init -q /tmp/g; cd /tmp/g; git config user.email a@b; git config user.name a; seq 100 > f; git add f; git commit -qm one; git rev-parse HEAD; rm -r /tmp/g",
  "export GIT_AUTHOR_DATE=@0+0000 GIT_COMMITTER_DATE=@0+0000; rm -rf /tmp/g; git init -q /tmp/g; cd /tmp/g; git config user.email a@b; git config user.name a; for i in 1 2 3; do seq $i 50 > f; git add f; git commit -qm $i; done; git log --format=%H; git diff HEAD~2 --stat; git gc -q; git fsck; rm -r /tmp/g",
];

const PERL = [
  perl("print join(q( ), map {$_ ** 2} 1..20), qq(\\n)"),
  perl("my %h; $h{$_ % 7} .= $_ for 1..100; print qq($_ $h{$_}\\n) for sort keys %h"),
  perl("my $s = q(abc) x 1000; $s =~ s/b(c)/$1$1/g; print length $s, qq(\\n)"),
  perl("print pack(q(NnC), 1, 2, 3) eq qq(\\0\\0\\0\\1\\0\\2\\3) ? qq(ok\\n) : qq(no\\n)"),
  perl("printf qq(%.15g %.15g\\n), 1/3, sqrt(2)"),
  perl("my $p = fork; if (!$p) { exit 7 } waitpid $p, 0; print $? >> 8, qq(\\n)"),
  perl("$SIG{ALRM} = sub { print qq(alarm\\n); exit }; alarm 1; sleep 5"),
  perl("eval { die qq(x\\n) }; print $@"),
  perl("my @a = sort { $a <=> $b } map { ($_ * 7919) % 10007 } 1..5000; print qq(@a[0..4]\\n)"),
  perl("sub f { my $n = shift; $n < 2 ? $n : f($n - 1) + f($n - 2) } print f(16), qq(\\n)"),
];

const PYTHON = [
  python("print(sum(i * i for i in range(20000)))"),
  python("import json; print(json.dumps({str(i): [i, i / 3] for i in range(50)}, sort_keys=True))"),
  python('import hashlib; print(hashlib.sha3_256(b"x" * 100000).hexdigest())'),
  python('import hashlib; print(hashlib.blake2s(b"x" * 100000).hexdigest())'),
  python("import zlib; d = zlib.compress(bytes(range(256)) * 500, 9); print(len(d), zlib.crc32(d))"),
  python('import re; print(len(re.findall(r"(\\w)\\1", "aabbccddee" * 500)))'),
  python("print(2 ** 2000 % 1000007, pow(3, 10 ** 6, 998244353))"),
  python("import math; print([math.sin(i) for i in range(10)], math.gamma(5.5))"),
  python("import math; print(math.fsum([0.1] * 10), math.erf(0.5), math.lgamma(20.5))"),
  python("import decimal; print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7)"),
  python("import fractions; print(sum(fractions.Fraction(1, i) for i in range(1, 40)))"),
  python(
    "import random; random.seed(1); print([random.random() for _ in range(5)], random.sample(range(100), 5))",
  ),
  python('import struct; print(struct.unpack("<dq", struct.pack("<dq", 1.1, -5)))'),
  python('import array; a = array.array("d", range(1000)); print(sum(a), bytes(a[:2]).hex())'),
  python("import itertools; print(len(list(itertools.permutations(range(7)))))"),
  python('import collections; print(collections.Counter("mississippi").most_common())'),
  python(
    "import heapq; h = [(i * 7919) % 1009 for i in range(500)]; heapq.heapify(h); print([heapq.heappop(h) for _ in range(5)])",
  ),
  python(
    "import threading; r = []; t = [threading.Thread(target=lambda i=i: r.append(i)) for i in range(20)]; [x.start() for x in t]; [x.join() for x in t]; print(sorted(r))",
  ),
  python(
    "import threading; l = threading.Lock(); n = [0]\ndef f():\n for _ in range(2000):\n  with l: n[0] += 1\nt = [threading.Thread(target=f) for _ in range(4)]; [x.start() for x in t]; [x.join() for x in t]; print(n)",
  ),
  python('import subprocess; print(subprocess.run(["sh", "-c", "echo sub; exit 3"], capture_output=True))'),
  python('import os; r, w = os.pipe(); os.write(w, b"x" * 1000); print(len(os.read(r, 5000)))'),
  python(
    "import os\np = os.fork()\nif p == 0: os._exit(9)\nprint(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))",
  ),
  python(
    'import signal, os; signal.signal(signal.SIGUSR1, lambda *a: print("sig")); os.kill(os.getpid(), signal.SIGUSR1); print("after")',
  ),
  python(
    'import signal, time\nclass E(Exception): pass\ndef h(*a): raise E\nsignal.signal(signal.SIGALRM, h); signal.setitimer(signal.ITIMER_REAL, 0.05)\ntry: time.sleep(5)\nexcept E: print("alarm")',
  ),
  python('import mmap; m = mmap.mmap(-1, 1 << 20); m[:5] = b"hello"; print(m[:5], m[-1])'),
  python(
    'import mmap; f = open("/tmp/m", "wb+"); f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[4096] = 7; m.flush(); f.seek(4096); print(f.read(1))',
  ),
  python('import socket; a, b = socket.socketpair(); a.send(b"ping"); print(b.recv(9))'),
  python(
    'import socket, threading\ns = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()\nt = threading.Thread(target=lambda: s.accept()[0].sendall(b"x" * 100000)); t.start()\nc = socket.create_connection(s.getsockname()); n = 0\nwhile (d := c.recv(65536)): n += len(d)\nprint(n)',
  ),
  python(
    "import asyncio\nasync def f(i):\n await asyncio.sleep(0.01); return i\nasync def m(): return await asyncio.gather(*map(f, range(10)))\nprint(asyncio.run(m()))",
  ),
  python(
    'import multiprocessing as m\nif __name__ == "__main__":\n with m.get_context("fork").Pool(2) as p: print(p.map(abs, range(-5, 5)))',
  ),
  python(
    'import sqlite3; c = sqlite3.connect(":memory:"); c.execute("create table t(a)"); c.executemany("insert into t values (?)", [(i,) for i in range(500)]); print(c.execute("select sum(a), max(a) from t").fetchall())',
  ),
  python('import csv, io; print(list(csv.reader(io.StringIO("a,\\"b,c\\",d"))))'),
  python('import xml.etree.ElementTree as e; print(e.fromstring("<a><b c=\\"1\\"/></a>")[0].attrib)'),
  python("import pickle; print(pickle.loads(pickle.dumps({1: [2, (3, None)]})))"),
  python('import base64, binascii; print(base64.b85encode(bytes(range(50))), binascii.crc32(b"abc"))'),
  python("import datetime; print(datetime.datetime(2020, 2, 29) + datetime.timedelta(days=366))"),
  python('import textwrap; print(textwrap.fill("word " * 50, 30))'),
  python('import difflib; print(list(difflib.ndiff(["a", "b"], ["a", "c"])))'),
  python('import ast; print(ast.dump(ast.parse("x = 1 + f(2)")))'),
  python("import dis; print(len(list(dis.get_instructions(lambda x: [i for i in x]))))"),
  python('import unicodedata; print(unicodedata.normalize("NFD", "\\u00e9").encode())'),
  python('import tempfile, os; d = tempfile.mkdtemp(); open(d + "/x", "w").write("y"); print(os.listdir(d))'),
  python(
    'import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))\ntry: b"x" * (1 << 29)\nexcept MemoryError: print("no memory")',
  ),
  python(
    "x = [[(i * j) % 97 for j in range(60)] for i in range(60)]; print(sum(sum(a * b for a, b in zip(r, c)) for r in x for c in zip(*x)))",
  ),
  python(
    "s = set(); n = 27\nwhile n != 1: s.add(n); n = n // 2 if n % 2 == 0 else 3 * n + 1\nprint(len(s), max(s))",
  ),
  python(
    "p = [1] * 20000\nfor i in range(2, 20000):\n if p[i]:\n  for j in range(i * i, 20000, i): p[j] = 0\nprint(sum(p[2:]))",
  ),
  python("import ctypes; print(ctypes.sizeof(ctypes.c_long), ctypes.CDLL(None).abs(-5))"),
];

/** Programs that write code and run it: what was translated of a page must go when the page is written. */
const native = (bytes: string, more: string): string =>
  python(
    `import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7); f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\nm[:6] = bytes.fromhex("${bytes}"); print(f()); ${more}`,
  );
const SELF_MODIFYING = [
  native("b82a000000c3", "m[1] = 43; print(f())"),
  native("b82a000000c3", "print([(m.__setitem__(1, i), f())[1] for i in range(50)])"),
  native("b801000000c3", 'm[5:12] = bytes.fromhex("83c00590c39090"); print(f())'),
  python(
    'import ctypes, mmap\na = mmap.mmap(-1, 8192, prot=7); g = lambda o: ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(a, o)))\na[4093:4099] = bytes.fromhex("b807000000c3"); f = g(4093); print(f()); a[4094] = 9; print(f()); a[4096:4098] = b"\\1\\0"; print(f())',
  ),
  python(
    'import ctypes, mmap\nl = ctypes.CDLL(None, use_errno=True); l.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]\nm = mmap.mmap(-1, 4096, prot=3); p = ctypes.addressof(ctypes.c_char.from_buffer(m)); f = ctypes.CFUNCTYPE(ctypes.c_int)(p)\nfor i in range(20):\n m[:6] = bytes([0xb8, i, 0, 0, 0, 0xc3]); l.mprotect(p, 4096, 5); print(f(), end=" "); l.mprotect(p, 4096, 3)',
  ),
  python(
    'import os, mmap, ctypes\nfd = os.memfd_create("x"); os.ftruncate(fd, 4096); w = mmap.mmap(fd, 4096); x = mmap.mmap(fd, 4096, prot=7); f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(x)))\nfor i in range(20): w[:6] = bytes([0xb8, i, 0, 0, 0, 0xc3]); print(f(), end=" ")',
  ),
  python(
    'import os, mmap, ctypes\nm = mmap.mmap(-1, 4096, prot=7, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m))); m[:6] = bytes.fromhex("b801000000c3"); print(f(), flush=True)\nif os.fork() == 0:\n m[1] = 2; print(f(), flush=True); os._exit(0)\nos.wait(); print(f())',
  ),
  // The same physical pages get other programs, one after the other.
  "for p in cat sort ls tr wc head tail cut env id; do cp /bin/$p /tmp/p; echo 3 2 1 | /tmp/p --version | head -1; done",
  "for i in 1 2 3; do cp /bin/true /tmp/p; /tmp/p; echo $?; cp /bin/false /tmp/p; /tmp/p; echo $?; done",
  "for p in ls cat sort; do sh -c 'exec $0 --help' $p | md5sum; done",
];

/** Many small ones, so that other paths of the shell and of the kernel are taken. */
const SERIES = [
  ...Array.from(
    { length: 15 },
    (_, n) => `seq ${n * 37 + 5} | awk '{print $1 % ${n + 2}}' | sort | uniq -c | md5sum`,
  ),
  ...Array.from(
    { length: 15 },
    (_, n) => `echo ${"ab".repeat(n + 1)} | sed 's/a\\{1,\\}b/<&>/${(n % 3) + 1}'`,
  ),
  ...Array.from({ length: 10 }, (_, n) => python(`print(sum(x ** ${n} % 101 for x in range(500)))`)),
  ...Array.from(
    { length: 10 },
    (_, n) => `head -c $((${n} * 3001 + 1)) /usr/bin/env | od -t x${2 ** (n % 4)} | tail -2`,
  ),
];

export const PROGRAMS: readonly string[] = [
  ...HASHES,
  ...CORE,
  ...TEXT,
  ...SHELL,
  ...ARCHIVES,
  ...FILES,
  ...SYSTEM,
  ...GIT,
  ...PERL,
  ...PYTHON,
  ...SELF_MODIFYING,
  ...SERIES,
];
