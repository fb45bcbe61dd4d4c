//! The messages of protocol/PROTOCOL.md, section 3. Requests borrow from the payload that carries them. Pure.

use crate::wire::fields::{put_bytes, put_field, put_uint, put_varint, Malformed, Reader};
use crate::wire::host_mount::{HostMount, HostUnmount};

pub use smolvm_wire::code;

type Decoded<T> = Result<T, Malformed>;

/// The host's first message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    pub min_version: u32,
    pub max_version: u32,
    pub nonce: [u8; 16],
    /// the token of a suspended session, which is to go on here
    pub resume: Option<[u8; 16]>,
    /// it knows SUSPEND
    pub resumes: bool,
}

impl Hello {
    pub fn decode(buf: &[u8]) -> Decoded<Hello> {
        let mut fields = Reader::new(buf);
        let (mut min_version, mut max_version, mut nonce, mut resume, mut resumes) = (0, 0, None, None, false);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => min_version = value.u32()?,
                2 => max_version = value.u32()?,
                3 => nonce = Some(value.bytes()?.try_into().map_err(|_| Malformed)?),
                4 => drop(value.bytes()?),
                5 => resume = Some(value.bytes()?.try_into().map_err(|_| Malformed)?),
                6 => resumes = value.int()? != 0,
                _ => {}
            }
        }
        if min_version == 0 || max_version < min_version {
            return Err(Malformed);
        }
        Ok(Hello { min_version, max_version, nonce: nonce.ok_or(Malformed)?, resume, resumes })
    }
}

/// The guest's answer to [`Hello`].
pub struct HelloAck<'a> {
    pub version: u32,
    pub nonce: &'a [u8],
    pub agent: &'a [u8],
    pub boot_id: &'a [u8],
    pub configured: bool,
    /// the session goes on that the hello named
    pub resumed: bool,
}

impl HelloAck<'_> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, 1, self.version.into());
        put_bytes(out, 2, self.nonce);
        put_bytes(out, 3, self.agent);
        put_bytes(out, 4, self.boot_id);
        put_uint(out, 5, self.configured.into());
        put_uint(out, 6, self.resumed.into());
    }
}

/// Columns and rows of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Size {
    pub cols: u32,
    pub rows: u32,
}

impl Size {
    fn decode(buf: &[u8]) -> Decoded<Size> {
        let mut fields = Reader::new(buf);
        let mut size = Size::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => size.cols = value.u32()?,
                2 => size.rows = value.u32()?,
                _ => {}
            }
        }
        Ok(size)
    }
}

/// A signal, or a new terminal size, for a running command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Control {
    pub signal: u32,
    pub resize: Option<Size>,
}

impl Control {
    pub fn decode(buf: &[u8]) -> Decoded<Control> {
        let mut fields = Reader::new(buf);
        let mut control = Control::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => control.signal = value.u32()?,
                2 => control.resize = Some(Size::decode(value.bytes()?)?),
                _ => {}
            }
        }
        Ok(control)
    }
}

/// What commands may take. Numbers that are 0 are no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// processes and threads
    pub pids: u32,
    /// in bytes
    pub memory: u64,
}

fn decode_limits(buf: &[u8]) -> Decoded<Limits> {
    let mut fields = Reader::new(buf);
    let mut limits = Limits::default();
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => limits.pids = value.u32()?,
            2 => limits.memory = value.int()?,
            _ => {}
        }
    }
    Ok(limits)
}

fn encode_limits(limits: Limits) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, 1, limits.pids.into());
    put_uint(&mut out, 2, limits.memory);
    out
}

/// A command to start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exec<'a> {
    pub argv: Vec<&'a [u8]>,
    pub shell: &'a [u8],
    pub env: Vec<&'a [u8]>,
    pub cwd: &'a [u8],
    pub user: &'a [u8],
    pub pty: Option<Size>,
    pub detached: bool,
    pub stdin: bool,
    /// its own, instead of each command's
    pub limits: Limits,
}

impl<'a> Exec<'a> {
    fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut exec = Exec::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => exec.argv.push(value.bytes()?),
                2 => exec.shell = value.bytes()?,
                3 => exec.env.push(value.bytes()?),
                4 => exec.cwd = value.bytes()?,
                5 => exec.user = value.bytes()?,
                6 => exec.pty = Some(Size::decode(value.bytes()?)?),
                7 => exec.detached = value.bool()?,
                8 => exec.stdin = value.bool()?,
                9 => exec.limits = decode_limits(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(exec)
    }
}

/// A signal for a process that any session may have started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProcessSignal {
    pub process: u32,
    pub signal: u32,
    pub tree: bool,
}

impl ProcessSignal {
    fn decode(buf: &[u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut request = ProcessSignal::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => request.process = value.u32()?,
                2 => request.signal = value.u32()?,
                3 => request.tree = value.bool()?,
                _ => {}
            }
        }
        Ok(request)
    }
}

/// A message whose first field is all there is to it.
fn decode_number(buf: &[u8]) -> Decoded<u32> {
    let mut fields = Reader::new(buf);
    let mut number = 0;
    while let Some((field, value)) = fields.next()? {
        if field == 1 {
            number = value.u32()?;
        }
    }
    Ok(number)
}

/// A request about files. One struct for all ten: each uses the fields that its message has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileRequest<'a> {
    pub op: FileOp,
    pub path: &'a [u8],
    /// the target of rename and copy
    pub to: &'a [u8],
    pub user: &'a [u8],
    pub offset: u64,
    pub length: u64,
    pub mode: u32,
    pub mtime_s: u64,
    pub mtime_ns: u32,
    pub parents: bool,
    pub exclusive: bool,
    pub append: bool,
    pub follow: bool,
    pub recursive: bool,
    pub force: bool,
    pub replace: bool,
    pub keep_owner: bool,
    /// list: how many levels; 0 is 1
    pub depth: u32,
    /// write: what is to be there; empty: whatever is
    pub if_version: &'a [u8],
}

/// Which file request it is; the number is the field of `Open`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FileOp {
    #[default]
    Read = 5,
    Write = 6,
    Stat = 7,
    List = 8,
    Mkdir = 9,
    Remove = 10,
    Rename = 11,
    TreeRead = 12,
    TreeWrite = 13,
    Watch = 20,
    Copy = 21,
}

impl<'a> FileRequest<'a> {
    fn decode(op: FileOp, buf: &'a [u8]) -> Decoded<Self> {
        use FileOp::*;
        let mut fields = Reader::new(buf);
        let mut r = FileRequest { op, ..Default::default() };
        while let Some((number, value)) = fields.next()? {
            match (op, number) {
                (_, 1) => r.path = value.bytes()?,
                (Read, 2) => r.offset = value.int()?,
                (Read, 3) => r.length = value.int()?,
                (Write, 2) | (Mkdir, 3) => r.mode = value.u32()?,
                (Write, 3) | (Mkdir, 2) => r.parents = value.bool()?,
                (Write, 4) => r.mtime_s = value.int()?,
                (Write, 5) => r.mtime_ns = value.u32()?,
                (Write, 6) => r.exclusive = value.bool()?,
                (Write, 8) => r.append = value.bool()?,
                (Write, 9) => r.if_version = value.bytes()?,
                (Stat, 2) => r.follow = value.bool()?,
                (Remove | Watch, 2) => r.recursive = value.bool()?,
                (List, 3) => r.depth = value.u32()?,
                (Remove, 3) => r.force = value.bool()?,
                (Rename | Copy, 2) => r.to = value.bytes()?,
                (Rename | Copy, 3) => r.replace = value.bool()?,
                (Copy, 5) => r.recursive = value.bool()?,
                (Copy, 6) => r.parents = value.bool()?,
                (TreeWrite, 3) => r.keep_owner = value.bool()?,
                (Read | Mkdir | Remove | Rename | Copy, 4) => r.user = value.bytes()?,
                (Write, 7) | (Stat | Watch, 3) | (List | TreeRead | TreeWrite, 2) => r.user = value.bytes()?,
                _ => {}
            }
        }
        Ok(r)
    }
}

/// What of the disk is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Difference<'a> {
    /// content of files that were not changed after this is not
    pub since_s: u64,
    pub since_ns: u32,
    /// not what lies over the base, but the base
    pub base: bool,
    /// nothing of the disk, but a directory as programs see it
    pub path: &'a [u8],
    /// not of the root, but of the directory of the host that is an overlay here
    pub overlay: &'a [u8],
}

impl<'a> Difference<'a> {
    fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut request = Difference::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => request.since_s = value.int()?,
                2 => request.since_ns = value.u32()?,
                3 => request.base = value.bool()?,
                4 => request.path = value.bytes()?,
                5 => request.overlay = value.bytes()?,
                _ => {}
            }
        }
        Ok(request)
    }
}

/// A connection to make.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forward<'a> {
    pub host: &'a [u8],
    pub port: u32,
    pub unix: &'a [u8],
}

impl<'a> Forward<'a> {
    fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut request = Forward::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => request.host = value.bytes()?,
                2 => request.port = value.u32()?,
                3 => request.unix = value.bytes()?,
                _ => {}
            }
        }
        Ok(request)
    }
}

/// Time between SIGTERM and SIGKILL when Shutdown names none.
const DEFAULT_GRACE_MS: u32 = 500;

fn decode_shutdown(buf: &[u8]) -> Decoded<Request<'_>> {
    let mut fields = Reader::new(buf);
    let (mut grace_ms, mut signal) = (0, 0);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => grace_ms = value.u32()?,
            2 => signal = value.u32()?,
            _ => {}
        }
    }
    Ok(Request::Shutdown { grace_ms: if grace_ms == 0 { DEFAULT_GRACE_MS } else { grace_ms }, signal })
}

/// What makes a fresh or restored machine this one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Configure<'a> {
    pub entropy: &'a [u8],
    pub clock_s: u64,
    pub clock_ns: u32,
    pub hostname: &'a [u8],
    pub machine_id: &'a [u8],
    pub network: Option<Network<'a>>,
    pub disk_bytes: u64,
    pub generation: &'a [u8],
    /// of all commands together
    pub limits: Limits,
    pub mounts: Vec<Mount<'a>>,
    pub workdir: &'a [u8],
    pub user: &'a [u8],
    pub init: Option<InitRequest<'a>>,
}

impl<'a> Configure<'a> {
    fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut request = Configure::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => request.entropy = value.bytes()?,
                2 => request.clock_s = value.int()?,
                3 => request.clock_ns = value.u32()?,
                4 => request.hostname = value.bytes()?,
                5 => request.machine_id = value.bytes()?,
                6 => request.network = Some(Network::decode(value.bytes()?)?),
                7 => request.disk_bytes = value.int()?,
                8 => request.generation = value.bytes()?,
                9 => request.limits = decode_limits(value.bytes()?)?,
                10 => request.mounts.push(Mount::decode(value.bytes()?)?),
                11 => request.workdir = value.bytes()?,
                12 => request.user = value.bytes()?,
                13 => request.init = Some(InitRequest::decode(value.bytes()?)?),
                _ => {}
            }
        }
        Ok(request)
    }
}

/// The image's own init system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InitRequest<'a> {
    /// empty: the init that the image has where images have it
    pub argv: Vec<&'a [u8]>,
    pub env: Vec<&'a [u8]>,
}

impl<'a> InitRequest<'a> {
    fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut request = InitRequest::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => request.argv.push(value.bytes()?),
                2 => request.env.push(value.bytes()?),
                _ => {}
            }
        }
        Ok(request)
    }
}

/// A drive, and where it is to be mounted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mount<'a> {
    pub serial: &'a [u8],
    pub path: &'a [u8],
    pub kind: &'a [u8],
    pub read_only: bool,
}

impl<'a> Mount<'a> {
    fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut mount = Mount::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => mount.serial = value.bytes()?,
                2 => mount.path = value.bytes()?,
                3 => mount.kind = value.bytes()?,
                4 => mount.read_only = value.bool()?,
                _ => {}
            }
        }
        Ok(mount)
    }
}

/// One interface's addresses, and the resolvers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Network<'a> {
    pub interface: &'a [u8],
    pub address: &'a [u8],
    pub gateway: &'a [u8],
    pub dns: Vec<&'a [u8]>,
    pub mtu: u32,
    pub ipv6_address: &'a [u8],
    pub ipv6_gateway: &'a [u8],
    pub mac: &'a [u8],
    /// no interface at all, but the agent's door
    pub door: bool,
    /// the interface goes down, and loses its address
    pub down: bool,
}

impl<'a> Network<'a> {
    fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut request = Network::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => request.interface = value.bytes()?,
                2 => request.address = value.bytes()?,
                3 => request.gateway = value.bytes()?,
                4 => request.dns.push(value.bytes()?),
                5 => request.mtu = value.u32()?,
                6 => request.ipv6_address = value.bytes()?,
                7 => request.ipv6_gateway = value.bytes()?,
                8 => request.mac = value.bytes()?,
                9 => request.door = value.bool()?,
                10 => request.down = value.bool()?,
                _ => {}
            }
        }
        Ok(request)
    }
}

/// What a host asks for with OPEN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    Exec(Exec<'a>),
    Attach(u32),
    ProcessList,
    ProcessSignal(ProcessSignal),
    File(FileRequest<'a>),
    Forward(Forward<'a>),
    Sync,
    Shutdown {
        grace_ms: u32,
        /// to commands and the image's init, instead of SIGTERM to all; 0: none
        signal: u32,
    },
    Configure(Box<Configure<'a>>),
    Info,
    Hold {
        /// the sessions part from their connections before
        suspend: bool,
    },
    Release,
    Door,
    /// the connection's number
    DoorAccept(u32),
    /// the next connection that comes
    DoorNext,
    /// the port
    Bring(u32),
    HostMount(HostMount<'a>),
    HostUnmount(HostUnmount<'a>),
    /// the stream of the mount
    HostChanges(u32),
    Difference(Difference<'a>),
    /// The field is reserved, or of a later version.
    Unknown,
    /// No request, or several.
    Ambiguous,
}

/// A decoded OPEN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open<'a> {
    pub request: Request<'a>,
    /// initial credit of channels 1 and 2, in bytes
    pub window: u32,
    /// the host's wall clock, ms since 1970; 0: unknown
    pub clock_ms: u64,
}

/// Credit of channels 1 and 2 when OPEN says nothing.
pub const DEFAULT_WINDOW: u32 = 262_144;
/// The most that OPEN may give.
pub const MAX_WINDOW: u32 = 16 << 20;

impl<'a> Open<'a> {
    pub fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut found: Option<(u32, &'a [u8])> = None;
        let mut ambiguous = false;
        let mut window = 0;
        let mut clock_ms = 0;
        while let Some((number, value)) = fields.next()? {
            match number {
                1..=29 => {
                    ambiguous |= found.is_some_and(|(first, _)| first != number);
                    found = Some((number, value.bytes()?));
                }
                30 => window = value.u32()?,
                31 => clock_ms = value.int()?,
                _ => {}
            }
        }
        let window = if window == 0 { DEFAULT_WINDOW } else { window.min(MAX_WINDOW) };
        let request = match found {
            _ if ambiguous => Request::Ambiguous,
            Some((number, body)) => decode_request(number, body)?,
            // A message of fields we do not know is a request of a later version.
            None if buf.is_empty() => Request::Ambiguous,
            None => Request::Unknown,
        };
        Ok(Open { request, window, clock_ms })
    }
}

fn decode_hold(body: &[u8]) -> Decoded<bool> {
    let mut fields = Reader::new(body);
    let mut suspend = false;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            suspend = value.int()? != 0;
        }
    }
    Ok(suspend)
}

fn decode_door_accept(body: &[u8]) -> Decoded<Request<'_>> {
    let mut fields = Reader::new(body);
    let (mut connection, mut next) = (0, false);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => connection = value.u32()?,
            2 => next = value.bool()?,
            _ => {}
        }
    }
    Ok(if next { Request::DoorNext } else { Request::DoorAccept(connection) })
}

fn decode_request(number: u32, body: &[u8]) -> Decoded<Request<'_>> {
    Ok(match number {
        1 => Request::Exec(Exec::decode(body)?),
        2 => Request::Attach(decode_number(body)?),
        3 => Request::ProcessList,
        4 => Request::ProcessSignal(ProcessSignal::decode(body)?),
        5 => Request::File(FileRequest::decode(FileOp::Read, body)?),
        6 => Request::File(FileRequest::decode(FileOp::Write, body)?),
        7 => Request::File(FileRequest::decode(FileOp::Stat, body)?),
        8 => Request::File(FileRequest::decode(FileOp::List, body)?),
        9 => Request::File(FileRequest::decode(FileOp::Mkdir, body)?),
        10 => Request::File(FileRequest::decode(FileOp::Remove, body)?),
        11 => Request::File(FileRequest::decode(FileOp::Rename, body)?),
        12 => Request::File(FileRequest::decode(FileOp::TreeRead, body)?),
        13 => Request::File(FileRequest::decode(FileOp::TreeWrite, body)?),
        14 => Request::Forward(Forward::decode(body)?),
        15 => Request::Sync,
        16 => decode_shutdown(body)?,
        17 => Request::Configure(Box::new(Configure::decode(body)?)),
        18 => Request::Info,
        19 => Request::Hold { suspend: decode_hold(body)? },
        20 => Request::File(FileRequest::decode(FileOp::Watch, body)?),
        21 => Request::File(FileRequest::decode(FileOp::Copy, body)?),
        22 => Request::Door,
        23 => decode_door_accept(body)?,
        24 => Request::Bring(decode_number(body)?),
        25 => Request::HostMount(HostMount::decode(body)?),
        26 => Request::HostUnmount(HostUnmount::decode(body)?),
        27 => Request::HostChanges(decode_number(body)?),
        28 => Request::Difference(Difference::decode(body)?),
        29 => Request::Release,
        _ => Request::Unknown,
    })
}

/// What a file is: `FileInfo.kind`.
pub mod file_kind {
    pub const FILE: u32 = 1;
    pub const DIRECTORY: u32 = 2;
    pub const SYMLINK: u32 = 3;
    /// What no other number stands for. The first agents sent it for the four below, too.
    pub const OTHER: u32 = 4;
    /// In a tree that is written: another name of an entry before it.
    pub const HARD_LINK: u32 = 5;
    pub const FIFO: u32 = 6;
    pub const SOCKET: u32 = 7;
    pub const CHARACTER_DEVICE: u32 = 8;
    pub const BLOCK_DEVICE: u32 = 9;
}

/// What the guest knows of one file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileInfo<'a> {
    pub path: &'a [u8],
    /// one of `file_kind`
    pub kind: u32,
    pub mode: u32,
    pub size: u64,
    pub mtime_s: u64,
    pub mtime_ns: u32,
    pub uid: u32,
    pub gid: u32,
    pub target: &'a [u8],
    /// not in trees, as what follows
    pub inode: u64,
    /// 0: the file system keeps none
    pub btime_s: u64,
    pub btime_ns: u32,
    /// another one after every change; all zero: not told
    pub version: Version,
}

/// What tells a file from what it was and will be.
pub type Version = [u8; 32];

impl<'a> FileInfo<'a> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, 1, self.path);
        put_uint(out, 2, self.kind.into());
        put_uint(out, 3, self.mode.into());
        put_uint(out, 4, self.size);
        put_uint(out, 5, self.mtime_s);
        put_uint(out, 6, self.mtime_ns.into());
        put_uint(out, 7, self.uid.into());
        put_uint(out, 8, self.gid.into());
        put_bytes(out, 9, self.target);
        if self.inode != 0 {
            // Not a varint: overlayfs uses all 64 bits, of which JavaScript's numbers hold 53.
            put_bytes(out, 10, &self.inode.to_le_bytes());
        }
        put_uint(out, 11, self.btime_s);
        put_uint(out, 12, self.btime_ns.into());
        if self.version != Version::default() {
            put_bytes(out, 13, &self.version);
        }
    }

    pub fn decode(buf: &'a [u8]) -> Decoded<Self> {
        let mut fields = Reader::new(buf);
        let mut info = FileInfo::default();
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => info.path = value.bytes()?,
                2 => info.kind = value.u32()?,
                3 => info.mode = value.u32()?,
                4 => info.size = value.int()?,
                5 => info.mtime_s = value.int()?,
                6 => info.mtime_ns = value.u32()?,
                7 => info.uid = value.u32()?,
                8 => info.gid = value.u32()?,
                9 => info.target = value.bytes()?,
                _ => {}
            }
        }
        Ok(info)
    }
}

/// What happened at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    Created = 1,
    Changed = 2,
    Removed = 3,
    Renamed = 4,
    /// events were lost
    Overflow = 5,
}

/// One record of `file_watch`.
pub struct FileEvent<'a> {
    pub change: Change,
    pub path: &'a [u8],
    /// of a rename
    pub from: &'a [u8],
    pub directory: bool,
}

impl FileEvent<'_> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, 1, self.change as u64);
        put_bytes(out, 2, self.path);
        put_bytes(out, 3, self.from);
        put_uint(out, 4, self.directory.into());
    }
}

/// One record of `door`, and what `Opened` says of a connection that was waited for: it leaves.
pub struct DoorConnection<'a> {
    pub connection: u32,
    /// what its address stands for; empty: nothing
    pub name: &'a [u8],
    /// 4 or 16 octets; empty where there is a name
    pub address: &'a [u8],
    pub port: u16,
}

impl DoorConnection<'_> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, 1, self.connection.into());
        put_bytes(out, 2, self.name);
        put_bytes(out, 3, self.address);
        put_uint(out, 4, self.port.into());
    }
}

/// `Opened` of a connection that was waited for.
pub fn encode_opened_connection(out: &mut Vec<u8>, connection: &DoorConnection) {
    let mut message = Vec::new();
    connection.encode(&mut message);
    put_field(out, 6, &message);
}

/// `Opened` of exec and attach.
pub fn encode_opened_process(out: &mut Vec<u8>, process: u32, pid: u32) {
    put_uint(out, 1, process.into());
    put_uint(out, 2, pid.into());
}

/// One record of `process_list`.
pub struct ProcessRecord<'a> {
    pub process: u32,
    pub pid: u32,
    pub argv: &'a [Vec<u8>],
    pub running: bool,
    pub exit_code: u32,
    pub signal: u32,
    pub detached: bool,
    pub pty: bool,
    pub started_s: u64,
    pub user: &'a [u8],
    /// that there are of it now, threads included
    pub processes: u32,
}

impl ProcessRecord<'_> {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, 1, self.process.into());
        put_uint(out, 2, self.pid.into());
        for arg in self.argv {
            put_field(out, 3, arg);
        }
        put_uint(out, 4, self.running.into());
        put_uint(out, 5, self.exit_code.into());
        put_uint(out, 6, self.signal.into());
        put_uint(out, 7, self.detached.into());
        put_uint(out, 8, self.pty.into());
        put_uint(out, 9, self.started_s);
        put_bytes(out, 10, self.user);
        put_uint(out, 11, self.processes.into());
    }
}

/// What `Info` tells of the machine.
#[derive(Default)]
pub struct Info {
    pub kernel: Vec<u8>,
    pub boot_id: Vec<u8>,
    pub uptime_ms: u64,
    pub mem_total_bytes: u64,
    pub mem_available_bytes: u64,
    pub disk_total_bytes: u64,
    pub disk_free_bytes: u64,
    pub hostname: Vec<u8>,
    pub clock_s: u64,
    pub clock_ns: u32,
    pub processes: u32,
    /// cgroup controllers that are on for commands
    pub controllers: Vec<&'static str>,
    /// of all commands together
    pub limits: Limits,
    /// of a command that asks for nothing else
    pub command_limits: Limits,
    /// drives that were wanted somewhere, and are there; only in the answer to `configure`
    pub mounts: u32,
    /// the number of the process that is the image's init; 0: none runs
    pub init: u32,
}

impl Info {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, 1, crate::wire::VERSION.as_bytes());
        put_bytes(out, 2, &self.kernel);
        put_bytes(out, 3, &self.boot_id);
        put_uint(out, 4, self.uptime_ms);
        put_uint(out, 5, self.mem_total_bytes);
        put_uint(out, 6, self.mem_available_bytes);
        put_uint(out, 7, self.disk_total_bytes);
        put_uint(out, 8, self.disk_free_bytes);
        put_bytes(out, 9, &self.hostname);
        put_uint(out, 10, self.clock_s);
        put_uint(out, 11, self.clock_ns.into());
        put_uint(out, 12, self.processes.into());
        for name in &self.controllers {
            put_field(out, 13, name.as_bytes());
        }
        for (number, limits) in [(14, self.limits), (15, self.command_limits)] {
            if limits != Limits::default() {
                put_field(out, number, &encode_limits(limits));
            }
        }
        put_uint(out, 16, self.mounts.into());
        put_uint(out, 17, self.init.into());
    }
}

/// A failure as the protocol tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub code: u32,
    pub message: Vec<u8>,
    pub errno: i32,
    /// of `NO_SPACE`: what is full
    pub full: Full,
    /// of a command for which there is no process left: encoded Processes, those that have the most
    pub holders: Vec<Vec<u8>>,
    /// of `CHANGED`: what is there, as an encoded FileInfo; empty: nothing
    pub found: Vec<u8>,
}

/// What of a file system is used up, and where that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Full {
    /// there may be space, but no more files can be made
    pub no_inodes: bool,
    /// a tmpfs
    pub in_memory: bool,
}

impl Failure {
    pub fn new(code: u32, message: impl Into<Vec<u8>>) -> Failure {
        Failure {
            code,
            message: message.into(),
            errno: 0,
            full: Full::default(),
            holders: Vec::new(),
            found: Vec::new(),
        }
    }
}

/// The end of a stream. Empty: it worked.
#[derive(Default)]
pub struct Outcome {
    pub error: Option<Failure>,
    pub exit_code: u32,
    pub signal: u32,
    pub dropped: u64,
    /// an encoded FileInfo
    pub file: Vec<u8>,
    pub process: u32,
    pub pid: u32,
    pub info: Option<Info>,
    pub entries: u64,
    pub bytes: u64,
    /// what was killed with all it started: nothing of it is left
    pub all_ended: bool,
    /// list: how many levels were asked for, and told
    pub depth: u32,
    /// copy: devices, fifos and sockets that were left out
    pub skipped: u64,
}

impl Outcome {
    /// An outcome that is a failure.
    pub fn failed(mut failure: Failure) -> Outcome {
        let file = std::mem::take(&mut failure.found);
        Outcome { error: Some(failure), file, ..Outcome::default() }
    }

    /// The outcome of what RESET stopped.
    pub fn cancelled() -> Outcome {
        Outcome::failed(Failure::new(code::CANCELLED, "the request was cancelled"))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(error) = &self.error {
            let mut body = Vec::new();
            put_uint(&mut body, 1, error.code.into());
            // A frame holds it whatever path it quotes.
            put_bytes(&mut body, 2, &error.message[..error.message.len().min(16_384)]);
            put_uint(&mut body, 3, error.errno as u64);
            put_uint(&mut body, 4, error.full.no_inodes.into());
            put_uint(&mut body, 5, error.full.in_memory.into());
            for holder in &error.holders {
                put_field(&mut body, 6, holder);
            }
            put_field(out, 1, &body);
        }
        put_uint(out, 2, self.exit_code.into());
        put_uint(out, 3, self.signal.into());
        put_uint(out, 4, self.dropped);
        if !self.file.is_empty() {
            put_field(out, 5, &self.file);
        }
        put_uint(out, 6, self.process.into());
        put_uint(out, 7, self.pid.into());
        if let Some(info) = &self.info {
            let mut body = Vec::new();
            info.encode(&mut body);
            put_field(out, 8, &body);
        }
        put_uint(out, 9, self.entries);
        put_uint(out, 10, self.bytes);
        put_uint(out, 11, self.all_ended.into());
        put_uint(out, 12, self.depth.into());
        put_uint(out, 13, self.skipped);
    }
}

/// Appends a record: its length as a varint, then its bytes.
pub fn put_record(out: &mut Vec<u8>, record: &[u8]) {
    put_varint(out, record.len() as u64);
    out.extend_from_slice(record);
}
