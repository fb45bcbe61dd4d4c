//! A network of the program's own: a user and a network namespace with a packet filter, connected to the host's network by a
//! program that needs no privilege (pasta). The filter is in force before anything is connected, and nobody in there may
//! change it: the namespaces are kept by the holder, a process of ours that has no rights any more and does nothing else.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use crate::guest_tap::{self, GuestTap};
use crate::own_set::{OwnSet, State, AGAIN};
use crate::sys::{check, end_process, errno, exit_status, pipe, read};

/// What it is made of.
pub struct Options {
    /// path of nft(8)
    pub nft: OsString,
    /// the packet filter, in its language
    pub rules: OsString,
    /// its set in which this machine's own addresses shall be, empty at first: family, table and name
    pub own_set: OsString,
    /// the program that connects the namespaces of a process to the host's network, and its arguments; the process is the last one
    pub connector: Vec<OsString>,
    /// the name of the interface that the connector makes, or finds made
    pub uplink: Option<OsString>,
    /// the guest's, which the program gets; None: the program itself dials for it
    pub tap: Option<GuestTap>,
}

/// Options as they are read.
#[derive(Default)]
pub struct Reader {
    nft: Option<OsString>,
    rules: Option<OsString>,
    own_set: Option<OsString>,
    connector: Vec<OsString>,
    uplink: Option<OsString>,
    tap: Option<GuestTap>,
}

impl Reader {
    /// Whether it is one of ours; None: its value is missing.
    pub fn take(&mut self, name: &[u8], mut value: impl FnMut() -> Option<OsString>) -> Option<bool> {
        match name {
            b"--nft" => self.nft = Some(value()?),
            b"--net-rules" => self.rules = Some(value()?),
            b"--own-set" => self.own_set = Some(value()?),
            b"--guest-tap" => self.tap = Some(guest_tap::parse(&value()?)?),
            b"--uplink" => self.uplink = Some(value()?),
            b"--connector" => self.connector.push(value()?),
            _ => return Some(false),
        }
        Some(true)
    }

    /// All of them, or none; None: only some.
    pub fn finish(self) -> Option<Option<Options>> {
        match (self.nft, self.rules, self.own_set, self.connector) {
            (None, None, None, connector) if connector.is_empty() && self.tap.is_none() => Some(None),
            (Some(nft), Some(rules), Some(own_set), connector) if !connector.is_empty() => {
                Some(Some(Options { nft, rules, own_set, connector, uplink: self.uplink, tap: self.tap }))
            }
            _ => None,
        }
    }
}

/// What is said where the guest's tap cannot be made.
pub const NO_TAP: &str = "cannot make a tap in the network namespace";

/// The exit status of who looks whether it is connected, when it is not; another one is an error number of the tap's.
const NOT_CONNECTED: i32 = 255;

fn why_no_tap(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// What went wrong, and the error number.
pub type Failed = (&'static str, i32);

/// How long a first connection may take (`prove`).
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// The descriptor on which the holder tells how far it is.
const WORD_FD: RawFd = 3;

pub struct Network {
    streams: Streams,
    holder: i32,
    user: OwnedFd,
    net: OwnedFd,
    /// where the holder says how far it is
    words: OwnedFd,
    own: OwnSet,
    connector: Vec<CString>,
    /// the connector's process; None: it has ended
    connected: Option<i32>,
    /// it was stopped: what it would connect to may be this machine
    stopped: bool,
    ended_at: Instant,
    /// who is root has the rights in the namespaces that an ordinary user gets by joining the user namespace
    root: bool,
}

impl Network {
    /// Makes the namespaces. The filter is being made when this returns: see `connect`.
    pub fn begin(options: &Options, streams: Streams) -> Result<Network, Failed> {
        let (words, word_end) = pipe().map_err(|e| ("cannot make a pipe", e))?;
        let own = OwnSet::begin(&options.nft, &options.own_set)
            .map_err(|e| ("cannot learn this machine's own addresses", e))?;
        let mut rules = options.rules.clone();
        rules.push(own.filling());
        let filter = [options.nft.as_os_str(), rules.as_os_str()];
        let filter = c_strings(&filter).map_err(|e| ("the packet filter is no text", e))?;
        let connector = c_strings(&options.connector).map_err(|e| ("the connector is no command", e))?;
        // SAFETY: one thread; the child ends by _exit.
        let holder = unsafe {
            let monitor = libc::getpid();
            let pid = check(libc::fork()).map_err(|e| ("cannot start a process", e))?;
            if pid == 0 {
                hold(monitor, &filter, options.uplink.as_deref(), word_end.as_raw_fd(), &streams);
            }
            pid
        };
        drop(word_end);
        let open = |kind: &str| namespace_of(holder, kind);
        let made = word(&words).map_err(|e| ("cannot make a network namespace", e));
        match made.and_then(|()| open("user").and_then(|user| Ok((user, open("net")?)))) {
            // SAFETY: plain call.
            Ok((user, net)) => Ok(Network {
                streams,
                holder,
                user,
                net,
                words,
                own,
                connector,
                connected: None,
                stopped: false,
                ended_at: Instant::now(),
                root: unsafe { libc::geteuid() } == 0,
            }),
            Err(failed) => {
                end_process(holder);
                Err(failed)
            }
        }
    }

    /// Takes this process there: a child, before it becomes the program.
    pub fn join(&self) -> Result<(), i32> {
        // SAFETY: descriptors of namespaces. An ordinary user gets all capabilities in there, and loses them by becoming a program.
        unsafe {
            if !self.root {
                check(libc::setns(self.user.as_raw_fd(), libc::CLONE_NEWUSER))?;
            }
            check(libc::setns(self.net.as_raw_fd(), libc::CLONE_NEWNET)).map(|_| ())
        }
    }

    /// Waits for the filter, and then lets the connector connect.
    pub fn connect(&mut self) -> Result<(), Failed> {
        word(&self.words).map_err(|e| ("the packet filter could not be made", e))?;
        self.start()
    }

    fn start(&mut self) -> Result<(), Failed> {
        let holder = CString::new(self.holder.to_string()).unwrap_or_default();
        let mut command = self.connector.clone();
        command.push(holder);
        // SAFETY: one thread; the child ends by exec or _exit.
        unsafe {
            let monitor = libc::getpid();
            let pid = check(libc::fork()).map_err(|e| ("cannot start a process", e))?;
            if pid == 0 {
                follow(monitor);
                self.streams.take();
                run(&command);
            }
            self.connected = Some(pid);
        }
        Ok(())
    }

    /// Readable when it wants to be tended to.
    pub fn fd(&self) -> RawFd {
        self.own.fd()
    }

    /// Sees to it that the filter knows this machine's addresses of now, and that it is connected as long as it does: a connector
    /// that has ended is started anew, some time later, for whatever has ended it, without one the program has no network.
    /// Returns how long to wait until this is to be asked again, and what is to be told.
    pub fn tend(&mut self) -> (Option<Duration>, Option<&'static str>) {
        let (user, net, streams) = (&self.user, &self.net, &self.streams);
        let state = self.own.tend(|command| start_inside([user, net], streams, command));
        self.stop(state != State::Right);
        if state == State::Failed {
            if let Some(connector) = self.connected.take() {
                end_process(connector);
            }
            self.ended_at = Instant::now();
            return (Some(AGAIN), Some("the packet filter could not be told of this machine's addresses; the network is closed until it is"));
        }
        let mut told = None;
        if self.connected.and_then(exit_status).is_some() {
            self.connected = None;
            self.ended_at = Instant::now();
            told = Some("the network's connector has ended; it is started again");
        }
        if let State::Doubtful(wait) = state {
            return (Some(wait), told);
        }
        if self.connected.is_some() {
            return (None, told);
        }
        let waited = self.ended_at.elapsed();
        if waited < AGAIN {
            return (Some(AGAIN - waited), told);
        }
        self.ended_at = Instant::now();
        (self.start().is_err().then_some(AGAIN), told)
    }

    /// Lets the connector do nothing for a while, or go on.
    fn stop(&mut self, stopped: bool) {
        if self.stopped != stopped {
            self.stopped = stopped;
            if let Some(connector) = self.connected {
                // SAFETY: our own child, which is not reaped yet.
                unsafe { libc::kill(connector, if stopped { libc::SIGSTOP } else { libc::SIGCONT }) };
            }
        }
    }

    /// Nothing of it is left.
    pub fn end(&mut self) {
        self.own.end();
        let ending = [self.connected.take(), Some(self.holder)];
        for pid in ending.into_iter().flatten() {
            // SAFETY: our own child, which is not reaped yet. All of them first: each takes some milliseconds to give back what it has.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        ending.into_iter().flatten().for_each(end_process);
    }
}

/// Where a process of the network's writes, and the cgroup that it is put into.
pub struct Streams {
    pub null: OwnedFd,
    /// its stdout and stderr
    pub messages: OwnedFd,
    /// a cgroup's list of processes
    pub members: Option<OwnedFd>,
}

impl Streams {
    /// In a child. "0" is the process that writes it (cgroups(7)).
    unsafe fn take(&self) {
        let joined = self.members.as_ref().map(|members| libc::write(members.as_raw_fd(), b"0".as_ptr().cast(), 1));
        if joined.is_some_and(|written| written != 1) {
            libc::_exit(126);
        }
        libc::dup2(self.null.as_raw_fd(), 0);
        libc::dup2(self.messages.as_raw_fd(), 1);
        libc::dup2(self.messages.as_raw_fd(), 2);
    }
}

/// Starts a program in a user and a network namespace, which it may change.
fn start_inside(namespaces: [&OwnedFd; 2], streams: &Streams, command: &[CString]) -> Result<i32, i32> {
    // SAFETY: one thread; the child ends by exec or _exit.
    unsafe {
        let monitor = libc::getpid();
        let pid = check(libc::fork())?;
        if pid == 0 {
            follow(monitor);
            streams.take();
            for namespace in namespaces {
                if libc::setns(namespace.as_raw_fd(), 0) != 0 {
                    libc::_exit(1);
                }
            }
            follow(monitor); // new rights may have made the kernel forget it
            if keep_net_admin().is_err() {
                libc::_exit(1);
            }
            run(command);
        }
        Ok(pid)
    }
}

/// Makes everything once, for `--connector` and the others as in `run`, and says whether it worked.
pub fn prove(options: &Options) -> i32 {
    let Ok(null) = std::fs::File::open("/dev/null") else { return 1 };
    let Ok(messages) = std::io::stderr().as_fd().try_clone_to_owned() else { return 1 };
    let streams = Streams { null: null.into(), messages, members: None };
    let done = Network::begin(options, streams).and_then(|mut network| {
        let connected = network.connect().and_then(|()| network.wait_until_connected(options.tap.as_ref()));
        network.end();
        connected
    });
    let Err((what, error)) = done else { return 0 };
    match error {
        0 => eprintln!("smolvm-monitor: {what}"),
        error => eprintln!("smolvm-monitor: {what}: {}", std::io::Error::from_raw_os_error(error)),
    }
    1
}

pub fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Options> {
    let mut reader = Reader::default();
    while let Some(arg) = args.next() {
        reader.take(arg.as_bytes(), || args.next())?.then_some(())?;
    }
    reader.finish()?
}

impl Network {
    /// And tries the tap meanwhile.
    fn wait_until_connected(&self, tap: Option<&GuestTap>) -> Result<(), Failed> {
        // SAFETY: one thread; the child ends by _exit.
        let looker = unsafe {
            let parent = libc::getpid();
            let pid = check(libc::fork()).map_err(|e| ("cannot start a process", e))?;
            if pid == 0 {
                follow(parent);
                if self.join().is_err() {
                    libc::_exit(NOT_CONNECTED);
                }
                let _made = tap.map(|tap| tap.make().unwrap_or_else(|error| libc::_exit(why_no_tap(&error))));
                libc::_exit(if has_route() { 0 } else { NOT_CONNECTED });
            }
            pid
        };
        let seen = loop {
            if let Some(status) = exit_status(looker) {
                break if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { NOT_CONNECTED };
            }
            if self.connected.and_then(exit_status).is_some() {
                end_process(looker);
                break NOT_CONNECTED;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        match seen {
            0 => Ok(()),
            NOT_CONNECTED => Err(("the connector does not connect", 0)),
            error => Err((NO_TAP, error)),
        }
    }
}

/// Waits until this process's network leads somewhere.
fn has_route() -> bool {
    let start = Instant::now();
    while start.elapsed() < CONNECTED_WITHIN {
        // Destination, the second column, is 0 for the default route (proc(5)).
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        if routes.lines().any(|line| line.split_whitespace().nth(1) == Some("00000000")) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// The holder: makes the namespaces, then the connector's interface and the filter, and keeps them until it dies with its monitor.
unsafe fn hold(monitor: i32, filter: &[CString], uplink: Option<&OsStr>, words: RawFd, streams: &Streams) -> ! {
    follow(monitor);
    streams.take();
    if words != WORD_FD {
        libc::dup2(words, WORD_FD);
    }
    libc::syscall(libc::SYS_close_range, WORD_FD + 1, libc::c_uint::MAX, 0);
    if let Err(error) = make_namespaces() {
        say(error);
        libc::_exit(1);
    }
    follow(monitor); // new rights may have made the kernel forget it
    say(0);
    if let Some(name) = uplink {
        let _ = guest_tap::make_lasting(name.as_bytes()); // else the connector makes it, and its end takes longer
    }
    say(make_filter(filter));
    for fd in 1..=2 {
        libc::dup2(0, fd); // /dev/null: whoever reads our messages shall not wait for ours
    }
    libc::close(WORD_FD);
    // So an ordinary user's holder has no rights of its own either, and none of them is taken for a monitor.
    let command = [c"/proc/self/exe".into(), c"hold".into()];
    run(&command)
}

/// What the holder becomes once all is made.
pub fn wait() -> ! {
    loop {
        // SAFETY: plain call.
        unsafe { libc::pause() };
    }
}

/// With this user's own uid and gid alone, as they are outside.
unsafe fn make_namespaces() -> Result<(), i32> {
    let (uid, gid) = (libc::geteuid(), libc::getegid());
    check(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET))?;
    let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text);
    let written = write("setgroups", "deny".into())
        .and_then(|()| write("uid_map", format!("{uid} {uid} 1")))
        .and_then(|()| write("gid_map", format!("{gid} {gid} 1")));
    // Who may ping (icmp(7)): without it the guest cannot, and that is all.
    let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", format!("{gid} {gid}"));
    written.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}

/// Returns an error number.
unsafe fn make_filter(command: &[CString]) -> i32 {
    let pid = libc::fork();
    if pid == 0 {
        if let Err(error) = keep_net_admin() {
            libc::_exit(error);
        }
        run(command);
    }
    let mut status = 0;
    if pid < 0 || libc::waitpid(pid, &mut status, 0) != pid {
        return errno();
    }
    if status == 0 {
        0
    } else {
        libc::EINVAL
    }
}

/// linux/capability.h: what capset(2) takes
const VERSION_3: u32 = 0x2008_0522;
const CAP_NET_ADMIN: u32 = 12;

/// The program that this process becomes may change the network, although it is not root's.
unsafe fn keep_net_admin() -> Result<(), i32> {
    let header = [VERSION_3, 0];
    let mask = 1u32 << CAP_NET_ADMIN;
    // effective, permitted, inheritable; capabilities 0 to 31, then 32 to 63
    let sets = [mask, mask, mask, 0, 0, 0];
    check(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) as libc::c_int)?;
    check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0)).map(|_| ())
}

/// Becomes a program that gets nothing of our environment but PATH.
unsafe fn run(command: &[CString]) -> ! {
    let path = std::env::var_os("PATH").and_then(|path| CString::new([b"PATH=", path.as_bytes()].concat()).ok());
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let environment: Vec<CString> = path.into_iter().collect();
    let mut none: libc::sigset_t = std::mem::zeroed();
    libc::sigemptyset(&mut none);
    libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    libc::execve(command[0].as_ptr(), pointers(command).as_ptr(), pointers(&environment).as_ptr());
    eprintln!("smolvm-monitor: {}: {}", command[0].to_string_lossy(), std::io::Error::last_os_error());
    libc::_exit(127)
}

/// In a child: it dies with the monitor.
unsafe fn follow(monitor: i32) {
    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    if libc::getppid() != monitor {
        libc::_exit(1);
    }
}

/// The holder's word: an error number, 0 for success.
unsafe fn say(error: i32) {
    libc::write(WORD_FD, error.to_ne_bytes().as_ptr().cast(), 4);
}

fn word(words: &OwnedFd) -> Result<(), i32> {
    let mut word = [0u8; 4];
    match read(words.as_raw_fd(), &mut word) {
        Ok(4) if word == [0; 4] => Ok(()),
        Ok(4) => Err(i32::from_ne_bytes(word)),
        Ok(_) => Err(libc::ECHILD),
        Err(error) => Err(error),
    }
}

fn namespace_of(pid: i32, kind: &str) -> Result<OwnedFd, Failed> {
    let failed = |error: i32| ("cannot open a network namespace", error);
    let path = CString::new(format!("/proc/{pid}/ns/{kind}")).map_err(|_| failed(libc::EINVAL))?;
    // SAFETY: a C string; the descriptor becomes ours.
    unsafe {
        let fd = check(libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)).map_err(failed)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn c_strings<T: AsRef<OsStr>>(words: &[T]) -> Result<Vec<CString>, i32> {
    words.iter().map(|word| CString::new(word.as_ref().as_bytes()).map_err(|_| libc::EINVAL)).collect()
}
