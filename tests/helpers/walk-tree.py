"""What is in a directory, as read-erofs.ts tells it: one JSON object, by path (bytes, each as one character)."""
import hashlib
import json
import os
import stat
import sys

root = os.fsencode(sys.argv[1])
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFCHR: "character", stat.S_IFBLK: "block", stat.S_IFIFO: "pipe"}
seen = {}


def look(path, name):
    st = os.lstat(path)
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    content = open(path, "rb").read() if kind == "file" else b""
    xattrs = {}
    for attribute in os.listxattr(path, follow_symlinks=False):
        xattrs[attribute] = os.getxattr(path, attribute, follow_symlinks=False).hex()
    seen[name.decode("latin1")] = {
        "kind": kind,
        "mode": stat.S_IMODE(st.st_mode),
        "uid": st.st_uid,
        "gid": st.st_gid,
        "mtimeNs": str(st.st_mtime_ns),
        "links": st.st_nlink,
        "inode": st.st_ino,
        "size": st.st_size if kind == "file" else 0,
        "sha256": hashlib.sha256(content).hexdigest() if kind == "file" else None,
        "target": os.readlink(path).decode("latin1") if kind == "symlink" else None,
        "device": "%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in ("character", "block") else None,
        "xattrs": xattrs,
    }
    if kind == "directory":
        for child in os.listdir(path):
            look(os.path.join(path, child), name + (b"/" if name else b"") + child)


look(root, b"")
json.dump(seen, sys.stdout)
