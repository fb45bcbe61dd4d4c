//! What a guest's agent keeps of a mount over a capture, given to another server: what goes on, what does not, and that a guest which has written it
//! itself gains nothing by that.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use smolvm_files::wire::frame::kind;
use smolvm_files::wire::fuse::{op, put_u32, put_u64};
use smolvm_files::wire::kept::{decode, encode, messages, Kept, MAX_KEPT};
use support::{Guest, Place};

fn request(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u32(&mut out, (40 + body.len()) as u32);
    put_u32(&mut out, opcode);
    put_u64(&mut out, 77);
    put_u64(&mut out, node);
    for value in [0, 0, 1, 0] {
        put_u32(&mut out, value);
    }
    out.extend_from_slice(body);
    out
}

/// A server with the share mounted, which the guest is to have asked for nothing yet.
fn mounted(place: &Path, share: &Path, mode: &str) -> (Guest, u32) {
    fs::create_dir_all(place).unwrap();
    let mut guest = Guest::start(place);
    let stream = guest.mount(share, mode, &["--coherence", "strict"]);
    (guest, stream)
}

fn init(guest: &mut Guest, stream: u32) {
    let mut body = Vec::new();
    for value in [7, 38, 1 << 17, u32::MAX, u32::MAX] {
        put_u32(&mut body, value);
    }
    body.resize(64, 0);
    ask(guest, stream, op::INIT, 0, &body).unwrap();
}

fn ask(guest: &mut Guest, stream: u32, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
    guest.send(stream, &request(opcode, node, body));
    let payload = data(guest);
    match i32::from_le_bytes(payload[4..8].try_into().unwrap()) {
        0 => Ok(payload[16..].to_vec()),
        error => Err(-error),
    }
}

/// The server's next message.
fn data(guest: &mut Guest) -> Vec<u8> {
    loop {
        let (header, payload) = guest.frame().expect("the server has not ended");
        if header.kind == kind::DATA {
            return payload;
        }
    }
}

fn look_up(guest: &mut Guest, stream: u32, parent: u64, name: &str) -> Result<u64, i32> {
    let entry = ask(guest, stream, op::LOOKUP, parent, format!("{name}\0").as_bytes())?;
    Ok(u64::from_le_bytes(entry[..8].try_into().unwrap()))
}

fn open(guest: &mut Guest, stream: u32, node: u64, flags: i32) -> Result<u64, i32> {
    let opened = ask(guest, stream, op::OPEN, node, &[flags.to_le_bytes(), [0; 4]].concat())?;
    Ok(u64::from_le_bytes(opened[..8].try_into().unwrap()))
}

fn read(guest: &mut Guest, stream: u32, handle: u64) -> Result<Vec<u8>, i32> {
    let mut body = handle.to_le_bytes().to_vec();
    put_u64(&mut body, 0);
    put_u32(&mut body, 4096);
    body.resize(40, 0);
    ask(guest, stream, op::READ, 1, &body)
}

fn write(guest: &mut Guest, stream: u32, handle: u64, text: &[u8]) -> Result<Vec<u8>, i32> {
    let mut body = handle.to_le_bytes().to_vec();
    put_u64(&mut body, 0);
    put_u32(&mut body, text.len() as u32);
    body.resize(40, 0);
    body.extend_from_slice(text);
    ask(guest, stream, op::WRITE, 1, &body)
}

/// What the server says that the guest knows.
fn kept(guest: &mut Guest, stream: u32) -> Vec<u8> {
    guest.send(stream, &encode(Kept::Ask));
    let mut all = Vec::new();
    loop {
        let payload = data(guest);
        match decode(&payload) {
            Some(Kept::Part(part)) => all.extend_from_slice(part),
            Some(Kept::Last(part)) => return [all, part.to_vec()].concat(),
            other => panic!("{other:?}"),
        }
    }
}

fn give(guest: &mut Guest, stream: u32, bytes: &[u8]) {
    for message in messages(bytes) {
        guest.send(stream, &message);
    }
}

/// Files, of which some are open: what was kept of them, and nodes and handles by their names.
struct Before {
    bytes: Vec<u8>,
    nodes: Vec<u64>,
    handles: Vec<u64>,
}

fn before(place: &Place, share: &Path) -> Before {
    fs::create_dir_all(share.join("d/e")).unwrap();
    fs::create_dir_all(share.join("top")).unwrap();
    for name in ["same", "changed", "gone", "d/below", "top/passwd"] {
        fs::write(share.join(name), name).unwrap();
    }
    let (mut guest, stream) = mounted(&place.0.join("first"), share, "rw");
    init(&mut guest, stream);
    let mut nodes = Vec::new();
    for (parent, name) in
        [(0, "same"), (0, "changed"), (0, "gone"), (0, "d"), (4, "below"), (0, "top"), (6, "passwd"), (4, "e")]
    {
        let parent = if parent == 0 { 1 } else { nodes[parent - 1] };
        nodes.push(look_up(&mut guest, stream, parent, name).unwrap());
    }
    let mut handles = Vec::new();
    // Numbers that were used before are none any more.
    let first = open(&mut guest, stream, nodes[0], 0).unwrap();
    ask(&mut guest, stream, op::RELEASE, nodes[0], &[&first.to_le_bytes()[..], &[0; 16]].concat()).unwrap();
    for (node, flags) in
        [(0, libc::O_RDONLY), (1, libc::O_RDWR), (2, libc::O_RDONLY), (4, libc::O_WRONLY), (6, libc::O_RDONLY)]
    {
        handles.push(open(&mut guest, stream, nodes[node], flags).unwrap());
    }
    let bytes = kept(&mut guest, stream);
    // It goes on as before.
    assert_eq!(read(&mut guest, stream, handles[0]).unwrap(), b"same");
    Before { bytes, nodes, handles }
}

#[test]
fn what_has_not_changed_goes_on_and_the_rest_is_stale() {
    let place = Place::new("kept");
    let share = place.share();
    let Before { bytes, nodes, handles } = before(&place, &share);
    fs::write(share.join("changed"), "another").unwrap();
    fs::remove_file(share.join("gone")).unwrap();
    let (mut guest, stream) = mounted(&place.0.join("second"), &share, "rw");
    give(&mut guest, stream, &bytes);
    assert_eq!(read(&mut guest, stream, handles[0]).unwrap(), b"same");
    assert_eq!(write(&mut guest, stream, handles[0], b"x"), Err(libc::EBADF));
    assert_eq!(read(&mut guest, stream, handles[1]), Err(libc::ESTALE));
    assert_eq!(write(&mut guest, stream, handles[1], b"x"), Err(libc::ESTALE));
    assert_eq!(read(&mut guest, stream, handles[2]), Err(libc::ESTALE));
    assert!(write(&mut guest, stream, handles[3], b"BE").is_ok());
    assert_eq!(fs::read(share.join("d/below")).unwrap(), b"BEbelow");
    // By its name it is what it is now; and what is known already keeps its number.
    let changed = look_up(&mut guest, stream, 1, "changed").unwrap();
    assert_eq!(changed, nodes[1]);
    let again = open(&mut guest, stream, changed, 0).unwrap();
    assert!(!handles.contains(&again));
    assert_eq!(read(&mut guest, stream, again).unwrap(), b"another");
    assert_eq!(look_up(&mut guest, stream, nodes[3], "below").unwrap(), nodes[4]);
    let (of_gone, attributes) = (nodes[2], [0; 16]);
    assert_eq!(ask(&mut guest, stream, op::GETATTR, of_gone, &attributes), Err(libc::ESTALE));
    fs::write(share.join("new"), "").unwrap();
    let new = look_up(&mut guest, stream, 1, "new").unwrap();
    assert!(!nodes.contains(&new));
}

#[test]
fn in_another_directory_paths_are_known_and_files_are_not() {
    let place = Place::new("kept-elsewhere");
    let share = place.share();
    let Before { bytes, nodes, handles } = before(&place, &share);
    let other = place.0.join("other");
    fs::create_dir_all(other.join("d")).unwrap();
    fs::write(other.join("same"), "same").unwrap();
    fs::write(other.join("d/below"), "elsewhere").unwrap();
    let (mut guest, stream) = mounted(&place.0.join("second"), &other, "rw");
    give(&mut guest, stream, &bytes);
    for handle in handles {
        assert_eq!(read(&mut guest, stream, handle), Err(libc::ESTALE));
    }
    let below = look_up(&mut guest, stream, nodes[3], "below").unwrap();
    assert!(!nodes.contains(&below));
    let handle = open(&mut guest, stream, below, 0).unwrap();
    assert_eq!(read(&mut guest, stream, handle).unwrap(), b"elsewhere");
}

#[test]
fn links_that_took_a_directorys_place_lead_nowhere_and_what_is_read_only_stays_so() {
    let place = Place::new("kept-links");
    let share = place.share();
    let Before { bytes, nodes, handles } = before(&place, &share);
    fs::remove_dir_all(share.join("top")).unwrap();
    symlink("/etc", share.join("top")).unwrap();
    let (mut guest, stream) = mounted(&place.0.join("second"), &share, "ro");
    give(&mut guest, stream, &bytes);
    assert_eq!(look_up(&mut guest, stream, nodes[5], "passwd"), Err(libc::ESTALE));
    assert_eq!(open(&mut guest, stream, nodes[6], 0), Err(libc::ESTALE));
    assert_eq!(read(&mut guest, stream, handles[4]), Err(libc::ESTALE));
    assert_eq!(read(&mut guest, stream, handles[0]).unwrap(), b"same");
    assert!(write(&mut guest, stream, handles[3], b"x").is_err());
    assert_eq!(fs::read(share.join("d/below")).unwrap(), b"d/below");
}

#[test]
fn what_a_guest_has_written_itself_is_no_more_than_refused() {
    let place = Place::new("kept-hostile");
    let share = place.share();
    let Before { bytes, nodes, handles } = before(&place, &share);
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut dice = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut guest, mut stream) = mounted(&place.0.join("second"), &share, "rw");
    let rounds = if std::env::var_os("SMOLVM_TEST_LONG").is_some() { 3000 } else { 60 };
    for round in 0..rounds {
        let mut bytes = bytes.clone();
        for _ in 0..=dice() % 4 {
            let at = dice() as usize % bytes.len();
            match dice() % 4 {
                0 => bytes[at] ^= 1 << (dice() % 8),
                1 => bytes[at] = 0xff,
                2 => drop(bytes.splice(at..at, [0xff; 9])),
                _ => bytes.truncate(at + 1),
            }
        }
        if round % 16 == 1 {
            bytes.resize(MAX_KEPT, 0);
        }
        if round > 0 {
            (guest, stream) = mounted(&place.0.join(format!("n{round}")), &share, "rw");
        }
        give(&mut guest, stream, &bytes);
        init(&mut guest, stream);
        for node in &nodes {
            let _ = look_up(&mut guest, stream, *node, "below");
            let _ = look_up(&mut guest, stream, *node, "..").unwrap_err();
        }
        for handle in &handles {
            let _ = read(&mut guest, stream, *handle);
        }
        assert!(look_up(&mut guest, stream, 1, "same").is_ok());
        let status = fs::read_to_string(format!("/proc/{}/status", guest.server.id())).unwrap();
        let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        let kib: usize = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kib < 128 << 10, "{resident}");
    }
    // All of it is where it was.
    assert_eq!(fs::read(share.join("same")).unwrap(), b"same");
}

#[test]
fn nothing_is_taken_in_once_the_guest_has_been_told_of_something() {
    let place = Place::new("kept-late");
    let share = place.share();
    let Before { bytes, nodes, .. } = before(&place, &share);
    let (mut guest, stream) = mounted(&place.0.join("second"), &share, "rw");
    init(&mut guest, stream);
    give(&mut guest, stream, &bytes);
    assert_eq!(ask(&mut guest, stream, op::GETATTR, nodes[3], &[0; 16]), Err(libc::ESTALE));
}

#[test]
fn of_a_mount_with_very_many_names_nothing_is_kept() {
    let place = Place::new("kept-many");
    let share = place.share();
    let (mut guest, stream) = mounted(&place.0.join("first"), &share, "rw");
    init(&mut guest, stream);
    let name = |n: usize| format!("{n:0>250}");
    let most = MAX_KEPT / 250;
    for n in 0..most {
        fs::write(share.join(name(n)), "").unwrap();
        look_up(&mut guest, stream, 1, &name(n)).unwrap();
        if n == most / 2 {
            assert!(!kept(&mut guest, stream).is_empty());
        }
    }
    assert!(kept(&mut guest, stream).is_empty());
    assert!(look_up(&mut guest, stream, 1, &name(0)).is_ok());
}
