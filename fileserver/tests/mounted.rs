//! The server's share, mounted on this machine by its own kernel: real programs at full speed. It takes root and /dev/fuse, and a mount
//! namespace of its own: `cargo test -p smolvm-files --test mounted -- --ignored`, or with a command to run in it instead of the checks:
//! `SMOLVM_FILES_RUN='cd $MNT && ...' SMOLVM_FILES_MODE=rw`.

mod support;

use std::io::{Read, Write};
use std::process::Command;

use smolvm_files::wire::frame::{kind, put_frame};
use support::{again, mount_fuse, Guest, Place};

fn own_namespace() {
    // SAFETY: plain calls; the test's process has one thread of interest.
    unsafe {
        assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "it takes root");
        let root = c"/".as_ptr();
        assert_eq!(
            libc::mount(std::ptr::null(), root, std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()),
            0
        );
    }
}

/// Passes messages between the kernel and the server, as the agent does.
fn pump(mut guest: Guest, stream: u32, device: std::fs::File) {
    let mut requests = device.try_clone().unwrap();
    let mut session = guest.session.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buf = vec![0; 1 << 17];
        while let Ok(n) = requests.read(&mut buf) {
            let mut out = Vec::with_capacity(n + 12);
            put_frame(&mut out, stream, kind::DATA, 1, &buf[..n]);
            if session.write_all(&out).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        let mut answers = device;
        guest.session.set_read_timeout(None).unwrap();
        while let Some((header, payload)) = guest.frame() {
            if header.kind == kind::DATA {
                let _ = answers.write(&payload);
            }
        }
    });
}

#[test]
#[ignore = "takes root and /dev/fuse"]
fn real_programs() {
    own_namespace();
    let place = Place::new("mounted");
    let mnt = place.0.join("mnt");
    std::fs::create_dir(&mnt).unwrap();
    let mut guest = Guest::start(&place.0);
    let mode = std::env::var("SMOLVM_FILES_MODE").unwrap_or("rw".into());
    let share = std::env::var("SMOLVM_FILES_SHARE").map_or_else(|_| place.share(), Into::into);
    let stream = guest.mount(&share, &mode, &[]);
    let device = mount_fuse(&mnt, 0o40000).unwrap();
    pump(guest, stream, again(&device));
    let script = std::env::var("SMOLVM_FILES_RUN").unwrap_or_else(|_| include_str!("mounted.sh").into());
    let status = Command::new("sh").args(["-ec", &script]).env("MNT", &mnt).env("SHARE", &share).status().unwrap();
    let _ = Command::new("umount").arg("-l").arg(&mnt).status();
    assert!(status.success());
}
