//! FUSE_INIT: what both ends can do.

use crate::requests::mount::Mount;
use crate::sys::{Errno, Res};
use crate::wire::fuse::{init, put_u32, Request, MAX_DATA};

/// The version of the structures that we know.
const MAJOR: u32 = 7;
const MINOR: u32 = 38;
/// Older kernels do not take a limit of the pages of a request.
const OLDEST_MINOR: u32 = 31;
const PAGE: usize = 4096;
/// How far ahead the kernel may read: it asks for it in requests of the usual length.
const MAX_READAHEAD: u32 = 1 << 20;
const MAX_BACKGROUND: u16 = 64;

const ALWAYS: u64 = init::ASYNC_READ
    | init::ATOMIC_O_TRUNC
    | init::BIG_WRITES
    | init::DO_READDIRPLUS
    | init::READDIRPLUS_AUTO
    | init::ASYNC_DIO
    | init::PARALLEL_DIROPS
    | init::MAX_PAGES
    | init::NO_OPENDIR_SUPPORT
    | init::HANDLE_KILLPRIV_V2
    | init::INIT_EXT;

pub fn init(mount: &mut Mount, request: &Request, out: &mut Vec<u8>) -> Res<()> {
    let fields = request.fields();
    let (major, minor, readahead, flags) = (fields.u32(0)?, fields.u32(4)?, fields.u32(8)?, fields.u32(12)?);
    let mut offered = u64::from(flags);
    if offered & init::INIT_EXT != 0 {
        offered |= u64::from(fields.u32(16)?) << 32;
    }
    if major < MAJOR || (major == MAJOR && minor < OLDEST_MINOR) || offered & init::MAX_PAGES == 0 {
        return Err(Errno(libc::EPROTO));
    }
    // Where caches are kept, a file of another length makes the kernel drop its pages by itself, and we say so of all other changes.
    // Dropping them for another time of change would also drop what the guest has just written.
    let more = if mount.shared.terms.strict {
        init::AUTO_INVAL_DATA | init::DIRECT_IO_ALLOW_MMAP
    } else {
        init::CACHE_SYMLINKS
    };
    let agreed = offered & (ALWAYS | more);
    mount.agreed = Some(agreed);
    for value in [MAJOR, minor.min(MINOR), readahead.min(MAX_READAHEAD), agreed as u32] {
        put_u32(out, value);
    }
    out.extend_from_slice(&MAX_BACKGROUND.to_le_bytes());
    out.extend_from_slice(&(MAX_BACKGROUND * 3 / 4).to_le_bytes());
    put_u32(out, MAX_DATA as u32);
    put_u32(out, 1);
    out.extend_from_slice(&((MAX_DATA / PAGE) as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    put_u32(out, (agreed >> 32) as u32);
    out.extend_from_slice(&[0; 28]);
    Ok(())
}
