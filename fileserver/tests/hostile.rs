//! A guest that speaks to the server with frames of its own making, while a second process swaps what is on the host's side: nothing outside of
//! the share is reached, and what the server uses stays bounded. Seconds; `SMOLVM_FILES_FUZZ_SECONDS` for longer.

mod support;

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smolvm_files::wire::frame::{kind, put_frame};
use smolvm_files::wire::fuse::{op, put_u32, put_u64};
use smolvm_files::wire::kept::{encode, Kept};
use smolvm_files::wire::known::{decode, Known};
use support::{Guest, Place};

/// What nobody in the guest may ever see.
const SECRET: &[u8] = b"it-is-outside-of-the-share";

/// The stream of the first mount.
const MOUNT: u32 = 1;

/// Numbers that are made up (xorshift), the same for a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

fn request(opcode: u32, unique: u64, node: u64, pid: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u32(&mut out, (40 + body.len()) as u32);
    put_u32(&mut out, opcode);
    put_u64(&mut out, unique);
    put_u64(&mut out, node);
    for value in [0, 0, pid, 0] {
        put_u32(&mut out, value);
    }
    out.extend_from_slice(body);
    out
}

fn init() -> Vec<u8> {
    let mut body = Vec::new();
    for value in [7, 38, 1 << 17, u32::MAX, u32::MAX] {
        put_u32(&mut body, value);
    }
    body.resize(64, 0);
    request(op::INIT, 1, 0, 1, &body)
}

/// The guest's next answer: (unique, error, what follows).
fn answer(guest: &mut Guest) -> (u64, i32, Vec<u8>) {
    loop {
        let (header, payload) = guest.frame().expect("the server has not ended");
        if header.kind == kind::DATA && header.stream != MOUNT {
            // A change of the host: done.
            let mut out = Vec::new();
            put_frame(&mut out, header.stream, kind::DATA, 1, b".");
            put_frame(&mut out, header.stream, kind::WINDOW, 0, &(payload.len() as u32).to_le_bytes());
            guest.session.write_all(&out).unwrap();
        } else if header.kind == kind::DATA {
            let error = i32::from_le_bytes(payload[4..8].try_into().unwrap());
            return (u64::from_le_bytes(payload[8..16].try_into().unwrap()), error, payload[16..].to_vec());
        }
        if header.kind == kind::OPEN {
            // host_changes: with a pid that requests have, too.
            let mut opened = Vec::new();
            smolvm_files::wire::fields::put_uint(&mut opened, 2, 666);
            let mut out = Vec::new();
            put_frame(&mut out, header.stream, kind::OPENED, 0, &opened);
            guest.session.write_all(&out).unwrap();
        }
    }
}

fn ask(guest: &mut Guest, stream: u32, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
    guest.send(stream, &request(opcode, 77, node, 1, body));
    match answer(guest) {
        (77, 0, body) => Ok(body),
        (77, error, _) => Err(-error),
        other => panic!("another answer: {other:?}"),
    }
}

fn node_of(entry: &[u8]) -> u64 {
    u64::from_le_bytes(entry[..8].try_into().unwrap())
}

/// A share with something in it, and something beside it.
fn place(name: &str) -> (Place, PathBuf) {
    let place = Place::new(name);
    let share = place.share();
    fs::create_dir_all(share.join("d/e")).unwrap();
    fs::write(share.join("f"), "file").unwrap();
    fs::write(share.join("d/g"), "file").unwrap();
    symlink("../secret", share.join("link")).unwrap();
    symlink("/", share.join("top")).unwrap();
    fs::create_dir(place.0.join("out")).unwrap();
    fs::write(place.0.join("secret"), SECRET).unwrap();
    fs::write(place.0.join("out/secret"), SECRET).unwrap();
    (place, share)
}

/// That nothing beside the share has changed.
fn untouched(place: &Path) {
    assert_eq!(fs::read(place.join("secret")).unwrap(), SECRET);
    assert_eq!(fs::read(place.join("out/secret")).unwrap(), SECRET);
    let mut names: Vec<_> =
        fs::read_dir(place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["control", "out", "secret", "session", "share"]);
    assert_eq!(fs::read_dir(place.join("out")).unwrap().count(), 1);
    // Nothing with rights that it should not have.
    let mut rest = vec![place.join("share")];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            use std::os::unix::fs::{FileTypeExt, MetadataExt};
            assert_eq!(found.mode() & 0o6000, 0, "{entry:?}");
            let kind = found.file_type();
            assert!(!kind.is_block_device() && !kind.is_char_device() && !kind.is_fifo(), "{entry:?}");
            if kind.is_dir() {
                rest.push(entry.path());
            }
        }
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (place, share) = place("names");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    for name in [
        &b"..\0"[..],
        b".\0",
        b"\0",
        b"/\0",
        b"/etc/passwd\0",
        b"d/g\0",
        b"../secret\0",
        b"d/../../secret\0",
        b"f",
        b"",
    ] {
        let with = |length: usize, times: usize| {
            let mut body = vec![0; length];
            for _ in 0..times {
                body.extend_from_slice(name);
            }
            body
        };
        for (opcode, body) in [
            (op::LOOKUP, with(0, 1)),
            (op::UNLINK, with(0, 1)),
            (op::RMDIR, with(0, 1)),
            (op::MKDIR, with(8, 1)),
            (op::MKNOD, with(16, 1)),
            (op::CREATE, with(16, 1)),
            (op::SYMLINK, with(0, 2)),
            (op::LINK, with(8, 1)),
            (op::RENAME, with(8, 2)),
            (op::RENAME2, with(16, 2)),
            (op::GETXATTR, with(8, 1)),
            (op::SETXATTR, with(8, 1)),
        ] {
            assert!(ask(&mut guest, stream, opcode, 1, &body).is_err(), "{opcode} {name:?}");
        }
    }
    // Links are told, never followed.
    let link = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"link\0").unwrap());
    assert_eq!(ask(&mut guest, stream, op::READLINK, link, b"").unwrap(), b"../secret");
    assert!(ask(&mut guest, stream, op::OPEN, link, &[0; 8]).is_err());
    let top = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"top\0").unwrap());
    assert!(ask(&mut guest, stream, op::LOOKUP, top, b"etc\0").is_err());
    assert!(ask(&mut guest, stream, op::READDIR, top, &[0; 40]).is_err());
    // No devices, no fifos, nothing set-uid.
    for mode in [libc::S_IFCHR, libc::S_IFBLK, libc::S_IFIFO, libc::S_IFDIR] {
        let mut body = (mode | 0o666).to_le_bytes().to_vec();
        body.resize(16, 1);
        body.extend_from_slice(b"device\0");
        assert_eq!(ask(&mut guest, stream, op::MKNOD, 1, &body), Err(libc::EPERM));
    }
    let mut body = (libc::S_IFREG | 0o6755).to_le_bytes().to_vec();
    body.resize(16, 0);
    body.extend_from_slice(b"suid\0");
    ask(&mut guest, stream, op::MKNOD, 1, &body).unwrap();
    untouched(&place.0);
}

#[test]
fn a_read_only_share_is_not_written_to() {
    let (place, share) = place("readonly");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "ro", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    let file = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"f\0").unwrap());
    let body = |length: usize, rest: &[u8]| [&vec![0; length][..], rest].concat();
    let write = body(0, &[1, 0, 0, 0, 0, 0, 0, 0]);
    for (opcode, node, body) in [
        (op::UNLINK, 1, body(0, b"f\0")),
        (op::RMDIR, 1, body(0, b"d\0")),
        (op::MKDIR, 1, body(8, b"x\0")),
        (op::MKNOD, 1, body(16, b"x\0")),
        (op::CREATE, 1, body(16, b"x\0")),
        (op::SYMLINK, 1, body(0, b"x\0y\0")),
        (op::LINK, 1, [&file.to_le_bytes()[..], b"x\0"].concat()),
        (op::RENAME, 1, [&1u64.to_le_bytes()[..], b"f\0x\0"].concat()),
        (op::SETATTR, file, [&[1u8, 0, 0, 0][..], &[0; 84]].concat()),
        (op::SETXATTR, file, body(8, b"user.x\0")),
        (op::REMOVEXATTR, file, body(0, b"user.x\0")),
        (op::OPEN, file, write),
    ] {
        assert_eq!(ask(&mut guest, stream, opcode, node, &body), Err(libc::EROFS), "{opcode}");
    }
    assert_eq!(fs::read(share.join("f")).unwrap(), b"file");
    untouched(&place.0);
}

#[test]
fn handles_are_few_however_many_are_asked_for() {
    let (place, share) = place("handles");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    let file = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"f\0").unwrap());
    let mut opened = 0;
    for round in 0..1000 {
        let mut out = Vec::new();
        for _ in 0..200 {
            put_frame(&mut out, stream, kind::DATA, 1, &request(op::OPEN, 5, file, 1, &[0; 8]));
        }
        guest.session.write_all(&out).unwrap();
        for _ in 0..200 {
            match answer(&mut guest).1 {
                0 => opened += 1,
                error => assert_eq!(error, -libc::EMFILE),
            }
        }
        if opened < round * 100 {
            break;
        }
    }
    assert!(opened > 100);
    // It goes on as before: names are looked up, what is open is read.
    assert!(ask(&mut guest, stream, op::LOOKUP, 1, b"d\0").is_ok());
    for handle in 1..=10u64 {
        ask(&mut guest, stream, op::RELEASE, file, &[&handle.to_le_bytes()[..], &[0; 16]].concat()).unwrap();
    }
    assert!(ask(&mut guest, stream, op::OPEN, file, &[0; 8]).is_ok());
    assert!(memory(&guest) < 200 << 20, "{}", memory(&guest));
}

#[test]
fn what_waits_takes_no_more_memory_the_smaller_it_is() {
    let (place, share) = place("small");
    let mut guest = Guest::start(&place.0);
    let client = guest.ask_to_mount(&share, "rw", &["--coherence", "strict"]);
    let stream = guest.frame().unwrap().0.stream;
    // Without any credit but the first: soon all answers wait, and then all requests.
    let mut out = Vec::new();
    put_frame(&mut out, stream, kind::OPENED, 0, &[]);
    guest.session.write_all(&out).unwrap();
    guest.placed(stream);
    assert!(client.wait_with_output().unwrap().status.success());
    guest.send(stream, &init());
    for _ in 0..4000 {
        guest.send(stream, &request(op::LOOKUP, 5, 1, 1, b"f\0"));
    }
    let mut out = Vec::new();
    for _ in 0..100_000 {
        put_frame(&mut out, stream, kind::DATA, 1, b"x");
    }
    for _ in 0..18 {
        guest.session.write_all(&out).unwrap();
    }
    // All of it has been looked at when this has been answered.
    let mut out = Vec::new();
    put_frame(&mut out, 0, kind::PING, 0, b"12345678");
    guest.session.write_all(&out).unwrap();
    while guest.frame().expect("the server has not ended").0.kind != kind::PONG {}
    assert!(memory(&guest) < 64 << 20, "{}", memory(&guest));
}

#[test]
fn who_asks_for_the_dearest_does_not_keep_its_owner_waiting() {
    let (place, share) = place("dear");
    for i in 0..10_000 {
        fs::write(share.join(format!("d/{i}")), "").unwrap();
    }
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    let directory = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"d\0").unwrap());
    // From another place each time, so that all of it is read again for a short answer.
    let mut dice = Dice(7);
    let mut out = Vec::new();
    for _ in 0..4000 {
        let mut body = vec![0; 8];
        put_u64(&mut body, dice.next() >> 1);
        put_u32(&mut body, 64);
        body.resize(40, 0);
        put_frame(&mut out, stream, kind::DATA, 1, &request(op::READDIR, 5, directory, 1, &body));
    }
    guest.session.write_all(&out).unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        let asked = std::process::Command::new(support::server())
            .args(["ask", "--control"])
            .arg(&guest.control)
            .arg(r#"{"op":"list"}"#)
            .output()
            .unwrap();
        assert!(asked.status.success(), "{asked:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[test]
fn names_of_one_file_and_names_that_are_not_there_count_as_files_do() {
    let (place, share) = place("names");
    for i in 0..300 {
        fs::hard_link(share.join("f"), share.join(format!("{i:0>200}"))).unwrap();
    }
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    let before = memory(&guest);
    for round in 0..20 {
        for i in 0..300 {
            let name = format!("{i:0>200}\0");
            assert!(ask(&mut guest, stream, op::LOOKUP, 1, name.as_bytes()).is_ok());
        }
        if round % 5 == 0 {
            assert!(memory(&guest) < before + (8 << 20), "{}", memory(&guest));
        }
    }
    // What is forgotten more often than it was told of is gone, and nothing besides.
    let file = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"f\0").unwrap());
    guest.send(stream, &request(op::FORGET, 0, file, 1, &u64::MAX.to_le_bytes()));
    guest.send(stream, &request(op::FORGET, 0, 1, 1, &u64::MAX.to_le_bytes()));
    assert_eq!(ask(&mut guest, stream, op::GETATTR, file, &[0; 16]), Err(libc::ESTALE));
    assert!(ask(&mut guest, stream, op::LOOKUP, 1, b"f\0").is_ok());
}

/// The server's memory, in bytes.
fn memory(guest: &Guest) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", guest.server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Reads all of a directory, by names.
fn list(guest: &mut Guest, stream: u32, node: u64, mut between: impl FnMut()) -> Vec<Vec<u8>> {
    let (mut names, mut at) = (Vec::new(), 0u64);
    loop {
        let mut body = vec![0; 8];
        put_u64(&mut body, at);
        put_u32(&mut body, 4096);
        body.resize(40, 0);
        let found = ask(guest, stream, op::READDIR, node, &body).unwrap();
        if found.is_empty() {
            return names;
        }
        let mut rest = &found[..];
        while rest.len() >= 24 {
            at = u64::from_le_bytes(rest[8..16].try_into().unwrap());
            let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
            names.push(rest[24..24 + length].to_vec());
            rest = &rest[(24 + length).next_multiple_of(8)..];
        }
        between();
    }
}

#[test]
fn a_directory_that_grows_while_it_is_listed() {
    let (place, share) = place("grows");
    for i in 0..3000 {
        fs::write(share.join(format!("d/old{i}")), "").unwrap();
    }
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "ro", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    let dir = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"d\0").unwrap());
    let mut i = 0;
    let names = list(&mut guest, stream, dir, || {
        for _ in 0..100 {
            i += 1;
            fs::write(share.join(format!("d/new{i}")), "").unwrap();
            let _ = fs::remove_file(share.join(format!("d/new{}", i / 2)));
        }
    });
    let unique: HashSet<&Vec<u8>> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "none is told twice");
    assert_eq!(
        names.iter().filter(|name| name.starts_with(b"old")).count(),
        3000,
        "none that was there all along is left out"
    );
}

/// Swaps a directory and a file of the share for links that lead out of it, as fast as it can.
fn swap(share: PathBuf, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let out = share.parent().unwrap().join("out");
        while !stop.load(Ordering::Relaxed) {
            for (name, target) in [("d", out.clone()), ("f", out.join("secret"))] {
                let (path, kept) = (share.join(name), share.join(format!("{name}.kept")));
                let _ = fs::rename(&path, &kept);
                let _ = symlink(&target, &path);
                std::thread::yield_now();
                let _ = fs::remove_file(&path);
                let _ = fs::rename(&kept, &path);
            }
        }
    })
}

/// A request of which every part may be anything, but is often something that means something.
fn made_up(dice: &mut Dice, nodes: &[u64], handles: &[u64]) -> Vec<u8> {
    let ops = [
        op::LOOKUP,
        op::FORGET,
        op::GETATTR,
        op::SETATTR,
        op::READLINK,
        op::SYMLINK,
        op::MKNOD,
        op::MKDIR,
        op::UNLINK,
        op::RMDIR,
        op::RENAME,
        op::LINK,
        op::OPEN,
        op::READ,
        op::WRITE,
        op::STATFS,
        op::RELEASE,
        op::FSYNC,
        op::SETXATTR,
        op::GETXATTR,
        op::LISTXATTR,
        op::REMOVEXATTR,
        op::INIT,
        op::OPENDIR,
        op::READDIR,
        op::FSYNCDIR,
        op::CREATE,
        op::BATCH_FORGET,
        op::FALLOCATE,
        op::READDIRPLUS,
        op::RENAME2,
        op::LSEEK,
        op::COPY_FILE_RANGE,
        // What a kernel asks only of who says that it can: locks, interrupts, blocks, ioctl, poll, replies to notifications, mappings.
        25,
        31,
        32,
        33,
        36,
        37,
        39,
        40,
        41,
        48,
        49,
        51,
        0,
        999,
    ];
    let names: [&[u8]; 16] = [
        b"f",
        b"d",
        b"g",
        b"e",
        b"link",
        b"top",
        b"new",
        b"new2",
        b"..",
        b".",
        b"../secret",
        b"/etc/passwd",
        b"",
        b"user.x",
        b"secret",
        b"security.capability",
    ];
    let odd = [0, 1, 2, 4096, 61_440, 65_536, 1 << 31, u64::MAX, u64::MAX >> 1, i64::MIN as u64];
    let opcode = *dice.of(&ops);
    let node = match dice.below(10) {
        0 => dice.next(),
        1 => *dice.of(&odd),
        2 => 1,
        _ => *dice.of(nodes),
    };
    let mut body = Vec::new();
    let fields = match opcode {
        op::LOOKUP | op::UNLINK | op::RMDIR | op::SYMLINK | op::REMOVEXATTR | op::READLINK => 0,
        op::MKDIR | op::LINK | op::RENAME | op::GETXATTR | op::SETXATTR | op::OPEN | op::FORGET => 8,
        op::MKNOD | op::CREATE | op::RENAME2 | op::GETATTR | op::FSYNC => 16,
        op::SETATTR => 88,
        _ => 8 * dice.below(8) as usize,
    };
    while body.len() < fields {
        match dice.below(6) {
            0 => put_u64(&mut body, *dice.of(nodes)),
            1 | 2 => put_u64(&mut body, *dice.of(handles)),
            3 => put_u64(&mut body, dice.below(70_000)),
            4 => put_u64(&mut body, *dice.of(&odd)),
            _ => put_u64(&mut body, dice.next()),
        }
    }
    if dice.below(20) > 0 {
        for _ in 0..=dice.below(2) {
            let name: &&[u8] = dice.of(&names);
            body.extend_from_slice(name);
            body.push(0);
        }
    }
    if dice.below(8) == 0 {
        body.resize(body.len() + dice.below(60_000) as usize, b'x');
    }
    if dice.below(200) == 0 {
        // What the agent says of its own: it asks what is known, and has kept something.
        body.truncate(60_000);
        return encode(*dice.of(&[Kept::Ask, Kept::Part(&body), Kept::Last(&body)]));
    }
    let mut message = request(opcode, 2 + dice.below(1 << 40), node, if dice.below(8) == 0 { 666 } else { 1 }, &body);
    if dice.below(50) == 0 {
        let at = dice.below(message.len() as u64) as usize;
        message[at] ^= 1 << dice.below(8);
    }
    if dice.below(100) == 0 {
        message.truncate(dice.below(message.len() as u64) as usize + 1);
    }
    message.truncate(65_536);
    message
}

#[test]
fn made_up_requests_reach_nothing_outside() {
    let seconds = std::env::var("SMOLVM_FILES_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let seed = std::env::var("SMOLVM_FILES_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1
    });
    println!("SMOLVM_FILES_FUZZ_SEED={seed}");
    let mut dice = Dice(seed);
    let (place, share) = place("fuzz");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &[]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = swap(share.clone(), stop.clone());
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut nodes, mut handles, mut sent, mut good) = (vec![1u64], vec![1u64, u64::MAX], 0u64, 0u64);
    let mut credit = 0u32;
    while Instant::now() < end {
        let mut out = Vec::new();
        if credit > 0 {
            put_frame(&mut out, stream, kind::WINDOW, 0, &std::mem::take(&mut credit).to_le_bytes());
        }
        for _ in 0..16 {
            put_frame(&mut out, stream, kind::DATA, 1, &made_up(&mut dice, &nodes, &handles));
            sent += 1;
        }
        // One that is answered for certain, so that it is known when all are.
        put_frame(&mut out, stream, kind::DATA, 1, &request(op::GETATTR, 1, 1, 1, &[0; 16]));
        guest.session.write_all(&out).unwrap();
        loop {
            let (unique, error, body) = answer(&mut guest);
            credit += 16 + body.len() as u32;
            assert!(!body.windows(SECRET.len()).any(|part| part == SECRET), "what is outside was read");
            if unique == 1 {
                break;
            }
            if error == 0 && body.len() >= 16 {
                good += 1;
                let number = u64::from_le_bytes(body[..8].try_into().unwrap());
                let list = if body.len() == 16 { &mut handles } else { &mut nodes };
                if list.len() < 64 {
                    list.push(number);
                } else {
                    let at = dice.below(64) as usize;
                    list[at] = number;
                }
            }
            if body.len() == 144 {
                handles.push(u64::from_le_bytes(body[128..136].try_into().unwrap()));
            }
            handles.truncate(200);
        }
        assert!(guest.server.try_wait().unwrap().is_none(), "the server has ended");
    }
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    println!("{sent} requests, {good} answers with something in them, {} MiB", memory(&guest) >> 20);
    assert!(good > 100);
    assert!(memory(&guest) < 256 << 20);
    untouched(&place.0);
}

#[test]
fn of_a_directory_with_one_file_shared_nothing_else_is_reached() {
    let (place, share) = place("file");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict", "--file", "f"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    for (opcode, body) in [
        (op::LOOKUP, &b"d\0"[..]),
        (op::LOOKUP, b"f\0"),
        (op::UNLINK, b"f\0"),
        (op::MKDIR, b"\0\0\0\0\0\0\0\0x\0"),
        (op::READDIR, &[0; 40]),
        (op::RENAME, b"\x01\0\0\0\0\0\0\0f\0x\0"),
    ] {
        assert_eq!(ask(&mut guest, stream, opcode, 1, body), Err(libc::ENOTDIR), "{opcode}");
    }
    let read = |guest: &mut Guest| {
        let opened = ask(guest, stream, op::OPEN, 1, &[0; 8]).unwrap();
        let mut body = opened[..8].to_vec();
        put_u64(&mut body, 0);
        put_u32(&mut body, 4096);
        body.resize(40, 0);
        let found = ask(guest, stream, op::READ, 1, &body).unwrap();
        ask(guest, stream, op::RELEASE, 1, &[&opened[..8], &[0; 16]].concat()).unwrap();
        found
    };
    assert_eq!(read(&mut guest), b"file");
    // Saved as editors do: it is another file of that name.
    fs::write(share.join("f.tmp"), "saved").unwrap();
    fs::rename(share.join("f.tmp"), share.join("f")).unwrap();
    assert_eq!(read(&mut guest), b"saved");
    // In its place a link out of the share: it is gone, for the guest.
    fs::remove_file(share.join("f")).unwrap();
    symlink("../secret", share.join("f")).unwrap();
    assert!(ask(&mut guest, stream, op::OPEN, 1, &[0; 8]).is_err());
    assert!(ask(&mut guest, stream, op::GETATTR, 1, &[0; 16]).is_err());
}

#[test]
fn what_is_mounted_beneath_is_not_shared() {
    // Only this thread and what it starts see the mounts; who may not mount has no such test.
    // SAFETY: plain calls with NUL-terminated text.
    let mount = |kind: &CStr, at: &Path, flags| unsafe {
        let at = CString::new(at.as_os_str().as_encoded_bytes()).unwrap();
        libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) == 0
    };
    // SAFETY: as above.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return;
    }
    assert!(mount(c"none", Path::new("/"), libc::MS_REC | libc::MS_PRIVATE));
    let (place, share) = place("beneath");
    fs::create_dir(share.join("other")).unwrap();
    assert!(mount(c"tmpfs", &share.join("other"), 0));
    fs::write(share.join("other/inside"), "inside").unwrap();
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    if let Ok(entry) = ask(&mut guest, stream, op::LOOKUP, 1, b"other\0") {
        let other = node_of(&entry);
        assert!(ask(&mut guest, stream, op::LOOKUP, other, b"inside\0").is_err());
        assert!(ask(&mut guest, stream, op::READDIR, other, &[0; 40]).is_err());
        assert!(ask(&mut guest, stream, op::CREATE, other, b"\x42\0\0\0\x80\x81\0\0\0\0\0\0\0\0\0\0new\0").is_err());
    }
    assert!(!share.join("other/new").exists());
    drop(guest);
    // SAFETY: as above; the place is removed at its end.
    let at = CString::new(share.join("other").as_os_str().as_encoded_bytes()).unwrap();
    assert_eq!(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) }, 0);
}

/// A guest that hears of all that the server says; its process that does changes again is 666, and does nothing by itself.
struct Hearing {
    guest: Guest,
    stream: u32,
    /// messages for the agent, and how many changes of the host came
    known: Vec<Vec<u8>>,
    changes: usize,
}

impl Hearing {
    /// Sends a request and waits for its answer: an error, and what follows.
    fn ask(&mut self, unique: u64, opcode: u32, node: u64, pid: u32, body: &[u8]) -> (i32, Vec<u8>) {
        self.guest.send(self.stream, &request(opcode, unique, node, pid, body));
        loop {
            let answer = self.hear();
            if let Some(answer) = answer.filter(|answer| answer[8..16] == unique.to_le_bytes()) {
                return (-i32::from_le_bytes(answer[4..8].try_into().unwrap()), answer[16..].to_vec());
            }
        }
    }

    /// Takes in one frame; returns an answer.
    fn hear(&mut self) -> Option<Vec<u8>> {
        let (header, payload) = self.guest.frame().expect("the server has not ended");
        if header.kind == kind::OPEN {
            let mut opened = Vec::new();
            smolvm_files::wire::fields::put_uint(&mut opened, 2, 666);
            let mut out = Vec::new();
            put_frame(&mut out, header.stream, kind::OPENED, 0, &opened);
            self.guest.session.write_all(&out).unwrap();
        } else if header.kind == kind::DATA && header.stream != self.stream {
            self.changes += 1;
        } else if header.kind == kind::DATA && decode(&payload).is_some() {
            self.known.push(payload);
        } else if header.kind == kind::DATA {
            return Some(payload);
        }
        None
    }
}

#[test]
fn what_the_guest_makes_again_is_not_removed_and_the_agent_is_told_of_directories() {
    let (place, share) = place("again");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &[]);
    let mut guest = Hearing { guest, stream, known: Vec::new(), changes: 0 };
    guest.guest.send(stream, &init());
    while guest.hear().is_none() {}
    // Until it knows the process: from then on what it says is believed for long.
    let d = loop {
        let (_, entry) = guest.ask(2, op::LOOKUP, 1, 1, b"d\0");
        if u64::from_le_bytes(entry[16..24].try_into().unwrap()) > 1 {
            break node_of(&entry);
        }
    };
    // What the kernel will ask for comes behind the answer.
    let (error, made) = guest.ask(4, op::MKDIR, d, 1, b"\xed\x01\0\0\0\0\0\0h\0");
    assert_eq!(error, 0);
    // Before it, that there is nothing in it: from the answer on the kernel may make something there.
    assert_eq!(guest.known.len(), 1);
    assert_eq!(decode(&guest.known[0]), Some(Known::Empty { node: node_of(&made) }));
    while guest.known.len() < 2 {
        guest.hear();
    }
    let Some(Known::Directory { request: 4, node, attributes }) = decode(&guest.known[1]) else { panic!() };
    assert_eq!((node, attributes.to_vec()), (d, guest.ask(6, op::GETATTR, d, 1, &[0; 16]).1));
    // What the host removes, and the guest makes again before it is told of that, stays.
    let (_, old) = guest.ask(8, op::LOOKUP, d, 1, b"e\0");
    fs::remove_dir(share.join("d/e")).unwrap();
    let (error, new) = guest.ask(10, op::MKDIR, d, 1, b"\xed\x01\0\0\0\0\0\0e\0");
    assert_eq!(error, 0);
    assert_ne!(node_of(&old), node_of(&new));
    while guest.changes == 0 {
        guest.hear();
    }
    assert!(guest.known.iter().any(|message| decode(message) == Some(Known::Nothing)));
    assert_eq!(node_of(&guest.ask(12, op::LOOKUP, d, 666, b"e\0").1), node_of(&new));
    assert_eq!(guest.ask(14, op::RMDIR, d, 666, b"e\0").0, libc::EROFS);
    // A file that is closed is not answered for where the agent has done so.
    let (_, opened) = guest.ask(16, op::CREATE, d, 1, b"\x01\0\0\0\xa4\x01\0\0\0\0\0\0\0\0\0\0n\0");
    let (node, handle) = (node_of(&opened), &opened[128..136]);
    guest.guest.send(stream, &request(op::RELEASE, 0, node, 1, &[handle, &[0; 16]].concat()));
    assert_eq!(guest.ask(18, op::WRITE, node, 1, &[handle, &[0; 32]].concat()).0, libc::EBADF);
}

#[test]
fn a_session_goes_on_over_another_connection() {
    let (place, share) = place("suspend");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    let file = node_of(&ask(&mut guest, stream, op::LOOKUP, 1, b"f\0").unwrap());
    let opened = ask(&mut guest, stream, op::OPEN, file, &[0; 8]).unwrap();
    for round in 0..3 {
        guest.suspend(&[round; 16]);
        let mut body = opened[..8].to_vec();
        put_u64(&mut body, 0);
        put_u32(&mut body, 4096);
        body.resize(40, 0);
        assert_eq!(ask(&mut guest, stream, op::READ, file, &body).unwrap(), b"file");
    }
    assert!(guest.server.try_wait().unwrap().is_none());
}

#[test]
fn the_server_ends_with_the_machine() {
    let (place, share) = place("ends");
    let mut guest = Guest::start(&place.0);
    guest.mount(&share, "rw", &[]);
    guest.session.shutdown(std::net::Shutdown::Both).unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    while guest.server.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(guest.server.wait().unwrap().success());
}

#[test]
fn a_guest_that_breaks_the_protocol_loses_its_server() {
    let (place, share) = place("breaks");
    let mut guest = Guest::start(&place.0);
    let stream = guest.mount(&share, "rw", &["--coherence", "strict"]);
    guest.send(stream, &init());
    assert_eq!(answer(&mut guest).1, 0);
    // A stream that was never opened.
    let mut out = Vec::new();
    put_frame(&mut out, stream + 100, kind::DATA, 1, b"x");
    guest.session.write_all(&out).unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    while guest.server.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_whose_machine_ended_before_it_answered_ends_too() {
    let place = Place::new("ended");
    let (mut server, listener) = support::waiting_server(&place.0, &[]);
    drop(listener.accept().unwrap());
    drop(listener);
    let end = Instant::now() + Duration::from_secs(10);
    while server.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            server.kill().unwrap();
            panic!("it still waits for a machine that does not come back");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn who_hears_nothing_hangs_up() {
    // Firecracker's vsock, each time: the request is lost.
    let place = Place::new("silent-vsock");
    let (mut server, listener) = support::waiting_server(&place.0, &["--vsock-port", "1024"]);
    let mut line = [0; 13];
    for _ in 0..2 {
        let mut connection = support::connected(&listener);
        connection.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"CONNECT 1024\n");
        assert_eq!(connection.read(&mut line).unwrap(), 0);
    }
    server.kill().unwrap();
    server.wait().unwrap();
    // A port of QEMU's, once: it has been freed.
    let place = Place::new("silent-port");
    let (mut server, listener) = support::waiting_server(&place.0, &[]);
    let begun = Instant::now();
    let mut left = support::connected(&listener);
    left.read_to_end(&mut Vec::new()).unwrap();
    assert!(begun.elapsed() > Duration::from_millis(2500));
    let mut kept = support::connected(&listener);
    kept.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        assert!(!matches!(kept.read(&mut [0; 65_536]), Ok(0)), "it hung up twice");
    }
    server.kill().unwrap();
    server.wait().unwrap();
}
