//! A stand-in for the agent: the real server, over a real socket, with requests of a test's making or of this machine's kernel.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use smolvm_files::wire::fields::{put_bytes, put_uint, Reader};
use smolvm_files::wire::frame::{kind, put_frame, Header, Sender, HEADER, MAGIC};

/// A directory of its own, gone with the test.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("smolvm-files-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("share")).unwrap();
        Place(path)
    }
    pub fn share(&self) -> PathBuf {
        self.0.join("share")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program: the one that was built for the test, or another one that is to be tested (`SMOLVM_FILES`).
pub fn server() -> String {
    std::env::var("SMOLVM_FILES").unwrap_or_else(|_| env!("CARGO_BIN_EXE_smolvm-files").into())
}

/// The server, and the agent's end of its session.
pub struct Guest {
    pub server: Child,
    pub session: UnixStream,
    pub control: PathBuf,
    listener: UnixListener,
    input: Vec<u8>,
}

impl Guest {
    /// Starts a server and greets it.
    pub fn start(place: &Path) -> Guest {
        let (server, listener) = waiting_server(place, &[]);
        let session = connected(&listener);
        let mut guest = Guest { server, session, control: place.join("control"), listener, input: Vec::new() };
        assert_eq!(guest.greeted(false), None);
        guest
    }

    /// Answers a greeting; returns the token of the session that is to go on.
    fn greeted(&mut self, resumed: bool) -> Option<Vec<u8>> {
        let mut magic = [0; 16];
        self.session.read_exact(&mut magic).unwrap();
        assert_eq!(&magic, MAGIC);
        let (header, payload) = self.frame().unwrap();
        assert_eq!(header.kind, kind::HELLO);
        let (mut fields, mut nonce, mut token) = (Reader::new(&payload), Vec::new(), None);
        while let Some((number, value)) = fields.next().unwrap() {
            match number {
                3 => nonce = value.bytes().unwrap().to_vec(),
                5 => token = Some(value.bytes().unwrap().to_vec()),
                _ => {}
            }
        }
        let mut ack = Vec::new();
        put_uint(&mut ack, 1, 1);
        put_bytes(&mut ack, 2, &nonce);
        put_uint(&mut ack, 6, resumed.into());
        let mut out = MAGIC.to_vec();
        put_frame(&mut out, 0, kind::HELLO_ACK, 0, &ack);
        self.session.write_all(&out).unwrap();
        token
    }

    /// Parts the session from its connection, as for a capture, and goes on with it over another one.
    pub fn suspend(&mut self, token: &[u8; 16]) {
        let mut out = Vec::new();
        put_frame(&mut out, 0, kind::SUSPEND, 0, token);
        self.session.write_all(&out).unwrap();
        while self.frame().unwrap().0.kind != kind::SWITCH {}
        assert!(self.frame().is_none());
        // One that is lost with the machine's others.
        drop(connected(&self.listener));
        self.session = connected(&self.listener);
        assert_eq!(self.greeted(true).as_deref(), Some(&token[..]));
        assert_eq!(self.frame().unwrap().0.kind, kind::SWITCH);
    }

    /// Shares a directory, as its owner would, and accepts that: the stream.
    pub fn mount(&mut self, host: &Path, mode: &str, more: &[&str]) -> u32 {
        let client = self.ask_to_mount(host, mode, more);
        let (header, _) = self.frame().unwrap();
        assert_eq!(header.kind, kind::OPEN);
        self.opened(header.stream);
        self.placed(header.stream);
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        header.stream
    }

    pub fn ask_to_mount(&self, host: &Path, mode: &str, more: &[&str]) -> Child {
        Command::new(server())
            .args(["share", "--guest", "/work", "--mode", mode, "--host"])
            .arg(host)
            .arg("--control")
            .arg(&self.control)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Accepts a stream, with plenty of credit.
    pub fn opened(&mut self, stream: u32) {
        let mut out = Vec::new();
        let mut opened = Vec::new();
        put_uint(&mut opened, 4, 0);
        put_frame(&mut out, stream, kind::OPENED, 0, &opened);
        put_frame(&mut out, stream, kind::WINDOW, 0, &(1u32 << 30).to_le_bytes());
        self.session.write_all(&out).unwrap();
    }

    /// Says that a mount is where it was wanted.
    pub fn placed(&mut self, stream: u32) {
        let mut out = Vec::new();
        put_frame(&mut out, stream, kind::DATA, 2, b".");
        self.session.write_all(&out).unwrap();
    }

    /// The next frame of the server; None at the end.
    pub fn frame(&mut self) -> Option<(Header, Vec<u8>)> {
        loop {
            if let Some(header) = self.input.first_chunk::<HEADER>() {
                let header = Header::parse(header, Sender::Host).unwrap();
                if self.input.len() >= HEADER + header.len {
                    let payload = self.input[HEADER..HEADER + header.len].to_vec();
                    self.input.drain(..HEADER + header.len);
                    return Some((header, payload));
                }
            }
            let mut buf = [0; 65_536];
            match self.session.read(&mut buf) {
                Ok(0) => return None,
                Ok(n) => self.input.extend_from_slice(&buf[..n]),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends one request.
    pub fn send(&mut self, stream: u32, message: &[u8]) {
        let mut out = Vec::new();
        put_frame(&mut out, stream, kind::DATA, 1, message);
        self.session.write_all(&out).unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A server, and where it looks for its agent.
pub fn waiting_server(place: &Path, more: &[&str]) -> (Child, UnixListener) {
    let path = place.join("session");
    let listener = UnixListener::bind(&path).unwrap();
    let mut command = Command::new(server());
    command.args(["serve", "--session"]).arg(&path).args(more).arg("--control").arg(place.join("control"));
    (command.stdin(Stdio::null()).spawn().unwrap(), listener)
}

pub fn connected(listener: &UnixListener) -> UnixStream {
    let (session, _) = listener.accept().unwrap();
    session.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    session
}

/// Mounts this machine's FUSE at `at` in this mount namespace: the descriptor of /dev/fuse.
pub fn mount_fuse(at: &Path, root_mode: u32) -> std::io::Result<OwnedFd> {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let options = format!(
        "fd={},rootmode={root_mode:o},user_id=0,group_id=0,default_permissions,allow_other",
        device.as_raw_fd()
    );
    let c = |text: &[u8]| std::ffi::CString::new(text).unwrap();
    let at = c(std::os::unix::ffi::OsStrExt::as_bytes(at.as_os_str()));
    // SAFETY: all strings are NUL-terminated.
    let done = unsafe {
        libc::mount(
            c(b"share").as_ptr(),
            at.as_ptr(),
            c(b"fuse").as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV,
            c(options.as_bytes()).as_ptr().cast(),
        )
    };
    if done != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(device.into())
}

/// Another descriptor of the same open file.
pub fn again(fd: &OwnedFd) -> std::fs::File {
    // SAFETY: the new descriptor is ours.
    unsafe { std::fs::File::from_raw_fd(libc::dup(fd.as_raw_fd())) }
}
