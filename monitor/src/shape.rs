//! How fast packets may leave by an interface: a token bucket filter (tc-tbf(8)), asked of the kernel without the program that is for it.

use crate::rtnetlink::{open, receive, send};

const RTM_NEWQDISC: u16 = 36;
const TC_H_ROOT: u32 = 0xffff_ffff;
/// linux/rtnetlink.h and linux/pkt_sched.h
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
const LINKLAYER_ETHERNET: u8 = 1;

/// What may pass at once is 50 ms of the rate, and no less than this: a packet must fit.
const LEAST_BURST: u64 = 64 * 1024;
/// What waits for its turn is 2 s of the rate, within these bounds; more is dropped.
const QUEUE: std::ops::RangeInclusive<u64> = 256 * 1024..=16 * 1024 * 1024;

/// Limits what leaves by an interface, which has no such limit yet, to so many bytes in a second.
pub fn limit(interface: u32, bytes_per_second: u64) -> Result<(), i32> {
    let socket = open(0)?;
    send(&socket, &request(interface, bytes_per_second))?;
    // An nlmsghdr, and behind it the error number, negative, or 0.
    let mut answer = [0u8; 1024];
    if receive(&socket, &mut answer)? < 20 {
        return Err(libc::EIO);
    }
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(-error),
    }
}

fn request(interface: u32, rate: u64) -> Vec<u8> {
    let burst = (rate / 20).max(LEAST_BURST);
    let queue = (rate * 2).clamp(*QUEUE.start(), *QUEUE.end());
    // struct tc_tbf_qopt: two tc_ratespec, the second unused, then limit, buffer and mtu
    let mut parms = vec![0, LINKLAYER_ETHERNET, 0, 0, 0, 0, 0, 0];
    parms.extend(u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    parms.extend([0; 12]);
    for word in [queue as u32, 0, 0] {
        parms.extend(word.to_ne_bytes());
    }
    let options = [
        attribute(TCA_TBF_PARMS, &parms),
        attribute(TCA_TBF_RATE64, &rate.to_ne_bytes()),
        attribute(TCA_TBF_BURST, &u32::try_from(burst).unwrap_or(u32::MAX).to_ne_bytes()),
    ]
    .concat();
    // struct tcmsg
    let mut body = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    for word in [interface, 0, TC_H_ROOT, 0] {
        body.extend(word.to_ne_bytes());
    }
    body.extend(attribute(TCA_KIND, b"tbf\0"));
    body.extend(attribute(TCA_OPTIONS, &options));
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
    let mut message = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(RTM_NEWQDISC.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// A type, a length and a value, with zeros up to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
