//! The server's share, mounted on this machine by its own kernel: real programs at full speed. It takes root and /dev/fuse, and mount
//! namespaces of its own; where it cannot have them, it is left out and says so. With a command to run in it instead of the checks:
//! `SMOLVM_FILES_RUN='cd $MNT && ...' cargo test -p smolvm-files --test mounted -- real_programs`.

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use smolvm_files::wire::fields::{put_uint, read_varint, Reader};
use smolvm_files::wire::frame::{kind, put_frame};
use support::{again, mount_fuse, Guest, Place};

/// A share that is mounted in this thread's namespace, with a guest's two helpers for it.
struct Mounted {
    _place: Place,
    mnt: PathBuf,
    share: PathBuf,
    control: PathBuf,
    server: i32,
}

impl Mounted {
    /// None: this is not to be had here.
    fn new(name: &str, mode: &str, more: &[&str]) -> Option<Mounted> {
        let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
        // SAFETY: plain calls.
        unsafe {
            if device.is_err() || libc::unshare(libc::CLONE_NEWNS) != 0 {
                println!("left out: it takes root and /dev/fuse");
                return None;
            }
            let root = c"/".as_ptr();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            assert_eq!(libc::mount(std::ptr::null(), root, std::ptr::null(), private, std::ptr::null()), 0);
        }
        let place = Place::new(name);
        let mnt = place.0.join("mnt");
        fs::create_dir(&mnt).unwrap();
        let mut guest = Guest::start(&place.0);
        let share = std::env::var("SMOLVM_FILES_SHARE").map_or_else(|_| place.share(), Into::into);
        let stream = guest.mount(&share, mode, more);
        let device = mount_fuse(&mnt, 0o40000).unwrap();
        let (control, server) = (guest.control.clone(), guest.server.id() as i32);
        pump(guest, stream, again(&device), mnt.clone());
        Some(Mounted { _place: place, mnt, share, control, server })
    }

    fn list(&self) -> serde_json::Value {
        let output = Command::new(support::server())
            .arg("ask")
            .arg("--control")
            .arg(&self.control)
            .arg(r#"{"op":"list"}"#)
            .output()
            .unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["mounts"][0].clone()
    }

    /// Until the guest's process for changes is there, and has done all.
    fn settled(&self) {
        until("changes are heard", || self.list()["watched"] == true);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mnt).status();
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Passes messages between the kernel and the server, as the agent does, and does again what is told of.
fn pump(mut guest: Guest, stream: u32, device: fs::File, mnt: PathBuf) {
    let mut requests = device.try_clone().unwrap();
    let session = Arc::new(Mutex::new(guest.session.try_clone().unwrap()));
    let to_server = session.clone();
    std::thread::spawn(move || {
        let mut buf = vec![0; 1 << 17];
        while let Ok(n) = requests.read(&mut buf) {
            let mut out = Vec::with_capacity(n + 12);
            put_frame(&mut out, stream, kind::DATA, 1, &buf[..n]);
            if to_server.lock().unwrap().write_all(&out).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        let mut answers = device.try_clone().unwrap();
        let mut changes: HashMap<u32, Sender<Vec<u8>>> = HashMap::new();
        guest.session.set_read_timeout(None).unwrap();
        while let Some((header, payload)) = guest.frame() {
            match header.kind {
                kind::DATA if header.stream == stream => drop(answers.write(&payload)),
                kind::DATA => drop(changes[&header.stream].send(payload)),
                kind::OPEN => {
                    let (sender, receiver) = channel::<Vec<u8>>();
                    changes.insert(header.stream, sender);
                    let (session, mut device, mnt) = (session.clone(), device.try_clone().unwrap(), mnt.clone());
                    std::thread::spawn(move || {
                        // SAFETY: plain call.
                        let pid = unsafe { libc::gettid() };
                        let say = |kind, flags, payload: &[u8]| {
                            let mut out = Vec::new();
                            put_frame(&mut out, header.stream, kind, flags, payload);
                            session.lock().unwrap().write_all(&out)
                        };
                        let mut opened = Vec::new();
                        put_uint(&mut opened, 2, pid as u64);
                        say(kind::OPENED, 0, &opened).unwrap();
                        while let Ok(record) = receiver.recv() {
                            let used = read_varint(&record).unwrap().unwrap().1;
                            do_again(&record[used..], &mut device, &mnt);
                            if say(kind::DATA, 1, b".").is_err() {
                                return;
                            }
                        }
                    });
                }
                _ => {}
            }
        }
    });
}

/// What the guest's process does with a HostChange (guest/src/files/host_changes.rs).
fn do_again(record: &[u8], device: &mut fs::File, mnt: &Path) {
    let (mut what, mut path, mut to, mut directory, mut notify) = (0, &b""[..], &b""[..], false, &b""[..]);
    let mut fields = Reader::new(record);
    while let Some((number, value)) = fields.next().unwrap() {
        match number {
            1 => what = value.u32().unwrap(),
            2 => path = value.bytes().unwrap(),
            3 => to = value.bytes().unwrap(),
            4 => directory = value.bool().unwrap(),
            5 => notify = value.bytes().unwrap(),
            _ => {}
        }
    }
    if !notify.is_empty() {
        let _ = device.write(notify);
    }
    let at = |path: &[u8]| mnt.join(std::ffi::OsStr::new(std::str::from_utf8(path).unwrap()));
    let path = at(path);
    let _: std::io::Result<()> = match what {
        1 if directory => fs::create_dir(&path),
        1 => fs::OpenOptions::new().write(true).create_new(true).open(&path).map(|_| ()),
        2 => fs::OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .and_then(|file| file.set_len(file.metadata()?.len())),
        3 if directory => fs::remove_dir(&path),
        3 => fs::remove_file(&path),
        4 => fs::rename(&path, at(to)),
        5 => fs::metadata(&path).and_then(|found| fs::set_permissions(&path, found.permissions())),
        _ => Ok(()),
    };
}

/// What happens in a directory of the guest's, as its inotify says.
struct Watcher(fs::File);

impl Watcher {
    fn new(dir: &Path) -> Watcher {
        use std::os::fd::FromRawFd;
        let path = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(dir.as_os_str())).unwrap();
        let mask = libc::IN_CREATE
            | libc::IN_DELETE
            | libc::IN_MODIFY
            | libc::IN_ATTRIB
            | libc::IN_MOVED_FROM
            | libc::IN_MOVED_TO;
        // SAFETY: plain calls; the descriptor becomes ours.
        unsafe {
            let fd = libc::inotify_init1(libc::IN_NONBLOCK);
            assert!(libc::inotify_add_watch(fd, path.as_ptr(), mask) > 0);
            Watcher(fs::File::from_raw_fd(fd))
        }
    }

    /// What has happened since.
    fn events(&mut self) -> Vec<(String, &'static str)> {
        let names = [
            (libc::IN_CREATE, "create"),
            (libc::IN_DELETE, "delete"),
            (libc::IN_MODIFY, "modify"),
            (libc::IN_ATTRIB, "attributes"),
            (libc::IN_MOVED_FROM, "from"),
            (libc::IN_MOVED_TO, "to"),
        ];
        let mut buf = vec![0; 65_536];
        let n = self.0.read(&mut buf).unwrap_or(0);
        smolvm_files::changes::events::parse(&buf[..n])
            .into_iter()
            .flat_map(|event| {
                let name = event.name.clone().unwrap_or_default().into_string().unwrap();
                names.iter().filter(move |(bit, _)| event.has(*bit)).map(move |(_, what)| (name.clone(), *what))
            })
            .collect()
    }

    /// Waits until something has come of that name.
    fn expect_any(&mut self, name: &str) {
        let mut all = Vec::new();
        until(&format!("anything of {name}"), || {
            all.extend(self.events());
            all.iter().any(|(of, _)| of == name)
        });
        println!("{all:?}");
    }

    /// Waits until all of these have come; returns all that came, and how long it took.
    fn expect(&mut self, wanted: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let start = Instant::now();
        let mut all: Vec<(String, &'static str)> = Vec::new();
        let mut missing = wanted.to_vec();
        while !missing.is_empty() {
            assert!(start.elapsed() < Duration::from_secs(20), "in vain: {missing:?}");
            let new = self.events();
            missing.retain(|(name, what)| !new.iter().any(|(n, w)| n == name && w == what));
            all.extend(new);
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("{} of {wanted:?} after {:?}", all.len(), start.elapsed());
        all
    }
}

#[test]
fn real_programs() {
    let mode = std::env::var("SMOLVM_FILES_MODE").unwrap_or("rw".into());
    let Some(mounted) = Mounted::new("programs", &mode, &[]) else { return };
    let script = std::env::var("SMOLVM_FILES_RUN").unwrap_or_else(|_| include_str!("mounted.sh").into());
    let mut shell = Command::new("sh");
    shell.args(["-ec", &script]).env("MNT", &mounted.mnt).env("SHARE", &mounted.share);
    assert!(shell.status().unwrap().success());
    println!("{}", mounted.list());
}

#[test]
fn watchers_hear_of_what_happens_on_the_host() {
    let Some(mounted) = Mounted::new("watchers", "rw", &[]) else { return };
    let (mnt, share) = (&mounted.mnt, &mounted.share);
    fs::create_dir(share.join("d")).unwrap();
    fs::write(share.join("d/old"), "old").unwrap();
    mounted.settled();
    assert_eq!(fs::read(mnt.join("d/old")).unwrap(), b"old");
    let mut watcher = Watcher::new(&mnt.join("d"));
    let host = |name: &str| share.join("d").join(name);
    let guest = |name: &str| mnt.join("d").join(name);

    assert!(!guest("new").exists());
    fs::write(host("new"), "one").unwrap();
    watcher.expect(&[("new", "create")]);
    until("the new file is there", || fs::read(guest("new")).is_ok_and(|text| text == b"one"));
    watcher.events();

    // Of the same length, so that only the time tells it.
    fs::write(host("new"), "two").unwrap();
    watcher.expect(&[("new", "modify")]);
    assert_eq!(fs::read(guest("new")).unwrap(), b"two");

    // As editors save: another file, renamed over it.
    fs::write(host("new.tmp"), "three").unwrap();
    fs::rename(host("new.tmp"), host("new")).unwrap();
    // Where both are heard of together they are one change.
    watcher.expect_any("new");
    until("the saved file is there", || fs::read(guest("new")).is_ok_and(|text| text == b"three"));

    fs::rename(host("new"), host("moved")).unwrap();
    watcher.expect(&[("new", "from"), ("moved", "to")]);
    assert_eq!(fs::read(guest("moved")).unwrap(), b"three");
    assert!(!guest("new").exists());

    fs::set_permissions(host("moved"), fs::Permissions::from_mode(0o600)).unwrap();
    watcher.expect(&[("moved", "attributes")]);
    assert_eq!(fs::metadata(guest("moved")).unwrap().mode() & 0o777, 0o600);

    fs::remove_file(host("moved")).unwrap();
    watcher.expect(&[("moved", "delete")]);
    assert!(!guest("moved").exists());

    fs::create_dir(host("sub")).unwrap();
    watcher.expect(&[("sub", "create")]);
    fs::write(host("sub/x"), "x").unwrap();
    until("what is in a new directory is there", || fs::read(guest("sub/x")).is_ok_and(|text| text == b"x"));
    let mut below = Watcher::new(&guest("sub"));
    fs::remove_file(host("sub/x")).unwrap();
    below.expect(&[("x", "delete")]);
    fs::remove_dir(host("sub")).unwrap();
    watcher.expect(&[("sub", "delete")]);
    assert!(!guest("sub").exists());
    // Moved here from elsewhere, and away again.
    fs::write(share.parent().unwrap().join("outside"), "o").unwrap();
    fs::rename(share.parent().unwrap().join("outside"), host("inside")).unwrap();
    watcher.expect(&[("inside", "create")]);
    until("what was moved in is there", || fs::read(guest("inside")).is_ok_and(|text| text == b"o"));
    fs::rename(host("inside"), share.parent().unwrap().join("outside")).unwrap();
    watcher.expect(&[("inside", "delete")]);
    assert!(!guest("inside").exists());
}

#[test]
fn what_the_guest_does_does_not_come_back() {
    let Some(mounted) = Mounted::new("own", "rw", &[]) else { return };
    let mnt = &mounted.mnt;
    mounted.settled();
    let mut watcher = Watcher::new(mnt);
    let script = r#"cd "$MNT"; echo 1 >a; echo 2 >>a; chmod 600 a; mv a b; ln b c; ln -s b d; mkdir e; mv b e/f; rm c d; touch e/f
        i=0; while [ $i -lt 300 ]; do echo $i >g$i; i=$((i + 1)); done; rm g*; cp e/f h; truncate -s 100 h; rm -r e h; sync -f ."#;
    assert!(Command::new("sh").args(["-ec", script]).env("MNT", mnt).status().unwrap().success());
    let before = watcher.events().len();
    std::thread::sleep(Duration::from_millis(100));
    assert!(before > 300);
    assert_eq!(watcher.events(), []);
    assert_eq!(mounted.list()["events"], 0, "{}", mounted.list());
}

#[test]
fn caches_are_never_stale_after_a_change() {
    let Some(mounted) = Mounted::new("caches", "rw", &[]) else { return };
    let (mnt, share) = (&mounted.mnt, &mounted.share);
    mounted.settled();
    for round in 0..200 {
        let text = format!("{round:05}");
        fs::write(share.join("f"), &text).unwrap();
        until("the new text is there", || fs::read_to_string(mnt.join("f")).is_ok_and(|found| found == text));
        fs::write(mnt.join("g"), &text).unwrap();
        assert_eq!(fs::read_to_string(share.join("g")).unwrap(), text);
        // An open file.
        let open = fs::File::open(mnt.join("f")).unwrap();
        fs::write(share.join("f"), format!("{round:05}x")).unwrap();
        until("an open file says it, too", || {
            let mut found = vec![0; 20];
            let n = std::os::unix::fs::FileExt::read_at(&open, &mut found, 0).unwrap();
            found[..n] == *format!("{round:05}x").as_bytes()
        });
    }
    // Many at once, and names that were looked for in vain.
    for i in 0..1000 {
        assert!(!mnt.join(format!("n{i}")).exists());
    }
    for i in 0..1000 {
        fs::write(share.join(format!("n{i}")), "n").unwrap();
    }
    until("all are there", || (0..1000).all(|i| mnt.join(format!("n{i}")).exists()));
    for i in 0..1000 {
        fs::remove_file(share.join(format!("n{i}"))).unwrap();
    }
    until("all are gone", || (0..1000).all(|i| !mnt.join(format!("n{i}")).exists()));
}

#[test]
fn an_overflow_is_made_up_for() {
    let Some(mounted) = Mounted::new("overflow", "rw", &[]) else { return };
    let (mnt, share) = (&mounted.mnt, &mounted.share);
    let names = ["flood1", "flood2", "same", "gone", "replaced", "moved", "mode"];
    fs::create_dir_all(share.join("d/below")).unwrap();
    for name in names.iter().chain(&["below/x"]) {
        fs::write(share.join("d").join(name), "old").unwrap();
    }
    mounted.settled();
    let (host, guest) = (share.join("d"), mnt.join("d"));
    let read = |name: &str| fs::read_to_string(guest.join(name)).unwrap_or_default();
    let listed = || {
        let mut names: Vec<_> = fs::read_dir(&guest).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names.into_iter().map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    for name in names.iter().chain(&["below/x"]) {
        assert_eq!(read(name), "old");
    }
    assert_eq!(listed().len(), names.len() + 1);
    assert!(!guest.join("absent").exists());
    let (mut watcher, mut below) = (Watcher::new(&guest), Watcher::new(&guest.join("below")));
    // What is not known and was there before is not told of, however much it is.
    std::thread::sleep(Duration::from_secs(4));

    // SAFETY: plain calls; the process is ours.
    unsafe { libc::kill(mounted.server, libc::SIGSTOP) };
    let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    for i in 0..most / 2 + 100 {
        fs::write(host.join("flood1"), format!("{i}")).unwrap();
        fs::write(host.join("flood2"), format!("{i}")).unwrap();
    }
    // Nobody hears of these.
    fs::write(host.join("same"), "new").unwrap();
    fs::remove_file(host.join("gone")).unwrap();
    fs::write(share.join("other"), "new").unwrap();
    fs::rename(share.join("other"), host.join("replaced")).unwrap();
    fs::rename(host.join("moved"), host.join("away")).unwrap();
    fs::set_permissions(host.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(host.join("absent"), "new").unwrap();
    for i in 0..3000 {
        fs::write(host.join(format!("many{i}")), "new").unwrap();
    }
    fs::write(host.join("below/x"), "new").unwrap();
    fs::write(host.join("below/y"), "new").unwrap();
    // SAFETY: as above.
    unsafe { libc::kill(mounted.server, libc::SIGCONT) };

    let mut wanted = vec![
        ("same", "modify"),
        ("gone", "delete"),
        ("replaced", "delete"),
        ("replaced", "create"),
        ("moved", "delete"),
        ("away", "create"),
        ("mode", "attributes"),
        ("absent", "create"),
    ];
    let many: Vec<String> = (0..3000).map(|i| format!("many{i}")).collect();
    wanted.extend(many.iter().map(|name| (name.as_str(), "create")));
    watcher.expect(&wanted);
    below.expect(&[("x", "modify"), ("y", "create")]);
    assert!(mounted.list()["overflows"].as_u64().unwrap() >= 1, "{}", mounted.list());
    for name in ["same", "replaced", "absent", "many7", "below/x", "below/y"] {
        assert_eq!(read(name), "new", "{name}");
    }
    assert_eq!(read("away"), "old");
    assert!(!guest.join("gone").exists() && !guest.join("moved").exists());
    assert_eq!(fs::metadata(guest.join("mode")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(listed().len(), names.len() + 1 + 3000);
}
