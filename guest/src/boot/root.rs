//! The final root: base and upper joined by overlayfs, a root disk of its own, or the initramfs itself.

use std::ffi::{CStr, CString};

use crate::boot::disks::Disks;
use crate::boot::failed::Failed;
use crate::sys::{self, check, Errno, Fd, Res};

/// Options of the writable file system: no access times, and no inode tables zeroed in the background.
const EXT4_OPTIONS: &CStr = c"noinit_itable";

/// Mounts what the disks hold and moves there. Returns the root directories of the writable disk, for growing it, and of the base.
pub fn enter(disks: &Disks, modules: &[u8]) -> Result<(Option<Fd>, Option<Fd>), Failed> {
    let fail = |what: &'static [u8]| move |e| Failed::new("disks", what, e);
    let (upper, base) = if let Some(node) = &disks.root {
        mkdir(c"/newroot")?;
        let kind = kind_of(node).map_err(fail(b"smolvm-root has no file system that is known"))?;
        let options = if kind == c"ext4" { EXT4_OPTIONS } else { c"" };
        sys::mount(node, c"/newroot", kind, libc::MS_NOATIME, options).map_err(fail(b"cannot mount smolvm-root"))?;
        (Some(open_dir(c"/newroot")?), None)
    } else if let Some(node) = &disks.base {
        mkdir(c"/base")?;
        mkdir(c"/upper")?;
        mkdir(c"/newroot")?;
        let kind = kind_of(node).map_err(fail(b"smolvm-base has no file system that is known"))?;
        sys::mount(node, c"/base", kind, libc::MS_RDONLY, c"").map_err(|error| {
            // Most likely its module is not in the initramfs.
            let what: &[u8] = if error.0 == libc::ENODEV {
                &[b"cannot mount smolvm-base: this kernel has no file system ", kind.to_bytes()].concat()
            } else {
                b"cannot mount smolvm-base"
            };
            Failed::new("disks", what, error)
        })?;
        let base = open_dir(c"/base")?;
        let upper = mount_upper(disks.upper.as_deref())?;
        join(disks.upper.as_deref()).map_err(|e| Failed::new("root", b"cannot join base and upper", e))?;
        (upper, Some(base))
    } else if disks.upper.is_some() {
        let reason = b"there is a disk smolvm-upper but no smolvm-base".to_vec();
        return Err(Failed { stage: "disks", reason });
    } else {
        return Ok((None, None));
    };
    let fail = |what: &'static [u8]| move |e| Failed::new("root", what, e);
    for (from, to) in [(c"/dev", c"/newroot/dev"), (c"/proc", c"/newroot/proc"), (c"/sys", c"/newroot/sys")] {
        // A root that lacks the directory and is full cannot be used.
        sys::mkdir(to, 0o755).map_err(fail(b"cannot make a mount point"))?;
        sys::mount(from, to, c"", libc::MS_MOVE, c"").map_err(fail(b"cannot move a mount"))?;
    }
    free_initramfs(modules);
    switch().map_err(fail(b"cannot switch to the root"))?;
    Ok((upper, base))
}

fn mkdir(path: &CStr) -> Result<(), Failed> {
    sys::mkdir(path, 0o755).map_err(|e| Failed::new("disks", b"cannot make a mount point", e))
}

fn open_dir(path: &CStr) -> Result<Fd, Failed> {
    sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY)
        .map_err(|e| Failed::new("disks", b"cannot open a disk's root", e))
}

fn mount_upper(node: Option<&CStr>) -> Result<Option<Fd>, Failed> {
    let fail = |what: &'static [u8]| move |e| Failed::new("disks", what, e);
    let opened = match node {
        Some(node) => {
            let flags = libc::MS_NOATIME;
            sys::mount(node, c"/upper", c"ext4", flags, EXT4_OPTIONS).map_err(|error| {
                let damaged = matches!(error.0, libc::EINVAL | libc::EUCLEAN | libc::EIO | libc::EBADMSG);
                let what: &[u8] = if damaged {
                    b"cannot mount smolvm-upper (it is damaged, or holds no ext4)"
                } else {
                    b"cannot mount smolvm-upper"
                };
                Failed::new("disks", what, error)
            })?;
            Some(open_dir(c"/upper")?)
        }
        // Changes live in memory then.
        None => {
            sys::mount(c"tmpfs", c"/upper", c"tmpfs", 0, c"mode=0755").map_err(fail(b"cannot mount a tmpfs"))?;
            None
        }
    };
    sys::mkdir(c"/upper/root", 0o755).map_err(fail(b"cannot use smolvm-upper"))?;
    sys::mkdir(c"/upper/work", 0o755).map_err(fail(b"cannot use smolvm-upper"))?;
    Ok(opened)
}

/// How base and upper are joined. `redirect_dir`: a directory of the base can be renamed, which else fails with EXDEV (dpkg, npm and
/// conda do that); `metacopy`: a change of owner or mode copies no content. Both are safe because all that they make the
/// kernel follow lies on the sandbox's own disk and leads into a base that it may read whole. Not `xino`: inode numbers then have their
/// highest bit set, which programs that keep them in 53 or 32 bits take for each other or fail on. Not `index`: it needs a base
/// with file handles, and its only gain are hard links of the base that stay links when they are written to.
const OVERLAY_OPTIONS: &CStr = c"lowerdir=/base,upperdir=/upper/root,workdir=/upper/work,redirect_dir=on,metacopy=on";

/// Joins base and upper. Overlayfs makes a directory of its own on the upper disk; where even that does not fit, it
/// mounts read-only, and then nobody could make room again. Ext4 has a last reserve for itself: it is lent for that.
fn join(upper: Option<&CStr>) -> Res<()> {
    let mount = || sys::mount(c"overlay", c"/newroot", c"overlay", libc::MS_NOATIME, OVERLAY_OPTIONS);
    mount()?;
    let Some(node) = upper.filter(|_| is_read_only(c"/newroot")) else { return Ok(()) };
    let name = node.to_bytes().strip_prefix(b"/dev/").unwrap_or_default();
    // Documentation/ABI/testing/sysfs-fs-ext4
    let reserve = sys::path(&[b"/sys/fs/ext4/", name, b"/reserved_clusters"]);
    let before = sys::read_file(&reserve, 32)?;
    sys::write_file(&reserve, b"0", 0)?;
    // SAFETY: constant path.
    unsafe { libc::umount2(c"/newroot".as_ptr(), 0) };
    let mounted = mount();
    sys::write_file(&reserve, before.trim_ascii(), 0)?;
    mounted
}

fn is_read_only(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated, the structure a plain out parameter.
    unsafe {
        let mut fs: libc::statvfs = std::mem::zeroed();
        libc::statvfs(path.as_ptr(), &mut fs) == 0 && fs.f_flag & libc::ST_RDONLY != 0
    }
}

/// Which file system a disk holds, by its superblock's magic number.
fn kind_of(node: &CStr) -> Res<&'static CStr> {
    let fd = sys::open(node, libc::O_RDONLY)?;
    let mut block = [0u8; 2048];
    let mut have = 0;
    while have < block.len() {
        match sys::read(fd.raw(), &mut block[have..])? {
            0 => break,
            n => have += n,
        }
    }
    probe(&block).ok_or(Errno(libc::EMEDIUMTYPE))
}

/// Magic numbers: linux/magic.h, at the superblocks' places. Pure.
pub fn probe(block: &[u8; 2048]) -> Option<&'static CStr> {
    let le32 = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    if le32(0) == 0x7371_7368 {
        Some(c"squashfs")
    } else if le32(1024) == 0xe0f5_e1e2 {
        Some(c"erofs")
    } else if block[1024 + 56..1024 + 58] == [0x53, 0xef] {
        Some(c"ext4")
    } else {
        None
    }
}

/// The initramfs stays in memory below the new root: what it holds is no longer needed.
fn free_initramfs(modules: &[u8]) {
    let order = sys::path(&[modules, b"/order"]);
    let names = sys::read_file(&order, 64 * 1024).unwrap_or_default();
    for name in names.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        if let Ok(path) = CString::new([modules, b"/", name].concat()) {
            // SAFETY: a valid path; one that is missing is fine.
            unsafe { libc::unlink(path.as_ptr()) };
        }
    }
    // SAFETY: valid paths; the running program keeps its own pages.
    unsafe {
        libc::unlink(order.as_ptr());
        libc::unlink(c"/init".as_ptr());
    }
}

/// Makes /newroot the root of everything.
fn switch() -> Res<()> {
    // SAFETY: plain calls with constant paths.
    unsafe {
        check(libc::chdir(c"/newroot".as_ptr()))?;
        sys::mount(c".", c"/", c"", libc::MS_MOVE, c"")?;
        check(libc::chroot(c".".as_ptr()))?;
        check(libc::chdir(c"/".as_ptr()))?;
    }
    Ok(())
}
