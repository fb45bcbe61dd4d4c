//! The resolver of a machine whose only way out is the door: it answers each name with an address that stands for it, and asks
//! nobody. Whether there is such a name, and whether it may be reached, the host decides when a connection to it is begun.

use std::net::Ipv4Addr;

use crate::machine::interception::{stands_for_v6, OWN_V4};
use crate::machine::names::Names;
use crate::streams::target::{Poller, Target};
use crate::sys::poller::{Token, IN, RDHUP};
use crate::sys::{self, check, Fd, Res};
use crate::wire::dns::{self, rcode, Query};

const PORT: u16 = 53;
/// Questions answered before others get a turn.
const PER_TURN: usize = 32;
/// Connections at once; for one more the oldest is closed.
const MAX_CLIENTS: usize = 16;
/// The longest message that is read; a question is shorter than 300 bytes.
const MAX_MESSAGE: usize = 4096;
const BACKLOG: libc::c_int = 16;

/// A connection, on which messages have their length before them.
struct Client {
    number: usize,
    fd: Fd,
    token: Token,
    inbound: Vec<u8>,
}

pub struct Resolver {
    pub names: Names,
    udp: Fd,
    tcp: Fd,
    /// there may be questions waiting
    ready: bool,
    clients: Vec<Client>,
    next_client: usize,
    has_v6: bool,
}

impl Resolver {
    /// Serves at the machine's own address.
    pub fn start(poller: &mut Poller, has_v6: bool) -> Res<Resolver> {
        let (udp, tcp) = (bind(libc::SOCK_DGRAM)?, bind(libc::SOCK_STREAM)?);
        // SAFETY: plain call.
        check(unsafe { libc::listen(tcp.raw(), BACKLOG) })?;
        poller.add(&udp, IN, Target::ResolverUdp)?;
        poller.add(&tcp, IN, Target::ResolverTcp)?;
        let (clients, next_client) = (Vec::new(), 0);
        Ok(Resolver { names: Names::default(), udp, tcp, ready: true, clients, next_client, has_v6 })
    }

    pub fn on_questions(&mut self) {
        self.ready = true;
    }

    pub fn is_busy(&self) -> bool {
        self.ready
    }

    /// Answers what waits, up to a bound.
    pub fn answer_some(&mut self) {
        if !self.ready {
            return;
        }
        let mut buf = [0u8; MAX_MESSAGE];
        for _ in 0..PER_TURN {
            // SAFETY: the buffers live through the calls.
            unsafe {
                let mut from: libc::sockaddr_in = std::mem::zeroed();
                let mut length = std::mem::size_of::<libc::sockaddr_in>() as u32;
                let address = &mut from as *mut _ as *mut libc::sockaddr;
                let got = libc::recvfrom(self.udp.raw(), buf.as_mut_ptr().cast(), buf.len(), 0, address, &mut length);
                let Ok(got) = check(got as libc::c_int) else {
                    self.ready = false;
                    return;
                };
                if let Some(answer) = self.answer_to(&buf[..got as usize]) {
                    // A client that takes no answer asks again.
                    libc::sendto(self.udp.raw(), answer.as_ptr().cast(), answer.len(), 0, address, length);
                }
            }
        }
    }

    /// The answer to one message, if it is due one.
    fn answer_to(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let question = match dns::parse(message) {
            Query::Noise => return None,
            Query::Bad(code) => return Some(dns::refusal(message, code)),
            Query::Question(question) => question,
        };
        let name = question.name.as_slice();
        let is_local = name == b"localhost" || name.ends_with(b".localhost");
        if name.is_empty() || !question.class_in || !question.plain {
            return Some(dns::answer(message, &question, rcode::NO_SUCH_NAME, None));
        }
        let address = match question.kind {
            dns::A if is_local => Ipv4Addr::LOCALHOST.octets().to_vec(),
            dns::A => self.names.address_of(name).octets().to_vec(),
            dns::AAAA if self.has_v6 && !is_local => stands_for_v6(self.names.address_of(name)).octets().to_vec(),
            _ => return Some(dns::answer(message, &question, rcode::NO_ERROR, None)),
        };
        Some(dns::answer(message, &question, rcode::NO_ERROR, Some(&address)))
    }

    /// Somebody wants to ask over TCP.
    pub fn on_clients(&mut self, poller: &mut Poller) {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no address is asked for.
        while let Ok(fd) =
            check(unsafe { libc::accept4(self.tcp.raw(), std::ptr::null_mut(), std::ptr::null_mut(), flags) })
        {
            let (fd, number) = (Fd::own(fd), self.next_client);
            self.next_client += 1;
            if self.clients.len() == MAX_CLIENTS {
                poller.forget(self.clients.remove(0).token);
            }
            if let Ok(token) = poller.add(&fd, IN | RDHUP, Target::ResolverClient(number)) {
                self.clients.push(Client { number, fd, token, inbound: Vec::new() });
            }
        }
    }

    /// A client has sent something, or gone.
    pub fn on_client(&mut self, poller: &mut Poller, number: usize) {
        let Some(at) = self.clients.iter().position(|client| client.number == number) else { return };
        let mut client = self.clients.remove(at);
        if self.serve(&mut client).is_ok() {
            self.clients.push(client);
        } else {
            poller.forget(client.token);
        }
    }

    /// Answers the whole messages of a client. An error: it is over.
    fn serve(&mut self, client: &mut Client) -> Res<()> {
        loop {
            match sys::read_append(client.fd.raw(), &mut client.inbound, MAX_MESSAGE) {
                Ok(0) => return Err(sys::Errno(libc::ECONNRESET)),
                Ok(_) => {}
                Err(error) if error.would_block() => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(&[a, b]) = client.inbound.first_chunk::<2>() {
                let end = 2 + usize::from(u16::from_be_bytes([a, b]));
                if end > MAX_MESSAGE {
                    return Err(sys::Errno(libc::EMSGSIZE));
                }
                if client.inbound.len() < end {
                    break;
                }
                let message: Vec<u8> = client.inbound.drain(..end).skip(2).collect();
                if let Some(answer) = self.answer_to(&message) {
                    let framed = [&(answer.len() as u16).to_be_bytes(), answer.as_slice()].concat();
                    // One that reads none of its answers is not waited for.
                    if sys::write(client.fd.raw(), &framed)? < framed.len() {
                        return Err(sys::Errno(libc::EAGAIN));
                    }
                }
            }
        }
    }
}

fn bind(kind: i32) -> Res<Fd> {
    // SAFETY: the address is plain data, filled in before use.
    unsafe {
        let fd = Fd::own(check(libc::socket(libc::AF_INET, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0))?);
        let on: libc::c_int = 1;
        libc::setsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &on as *const _ as *const _, 4);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_port = PORT.to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes(OWN_V4.octets());
        let length = std::mem::size_of::<libc::sockaddr_in>() as u32;
        check(libc::bind(fd.raw(), &address as *const _ as *const libc::sockaddr, length))?;
        Ok(fd)
    }
}
