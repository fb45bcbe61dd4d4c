//! As much of the domain name system (RFC 1035) as a resolver needs that knows no names but makes up addresses. Pure.

const HEADER: usize = 12;
/// The longest name, without the dot at its end.
pub const MAX_NAME: usize = 253;
pub const A: u16 = 1;
pub const AAAA: u16 = 28;
const IN: u16 = 1;
/// How long an answer may be kept, in seconds.
const TTL: u32 = 30;
/// Where the question's name begins, as a pointer.
const NAME_POINTER: [u8; 2] = [0xc0, HEADER as u8];

/// Response codes.
pub mod rcode {
    pub const NO_ERROR: u8 = 0;
    pub const FORMAT_ERROR: u8 = 1;
    pub const NO_SUCH_NAME: u8 = 3;
    pub const NOT_IMPLEMENTED: u8 = 4;
}

/// What a message asks.
#[derive(PartialEq, Eq, Debug)]
pub enum Query {
    /// Not even an answer is due: it is too short, or one itself.
    Noise,
    /// Refused with a response code; no question is repeated.
    Bad(u8),
    Question(Question),
}

#[derive(PartialEq, Eq, Debug)]
pub struct Question {
    /// in lower case, without the dot at its end; empty: the root, or a name that no rule can mean
    pub name: Vec<u8>,
    /// it is made of letters, digits, `-` and `_`
    pub plain: bool,
    pub kind: u16,
    /// of the internet
    pub class_in: bool,
    /// where it ends in the message
    end: usize,
}

/// Reads a query.
pub fn parse(message: &[u8]) -> Query {
    let Some(head) = message.first_chunk::<HEADER>() else { return Query::Noise };
    if head[2] & 0x80 != 0 {
        return Query::Noise;
    }
    if head[2] >> 3 & 0xf != 0 {
        return Query::Bad(rcode::NOT_IMPLEMENTED);
    }
    if head[4..6] != [0, 1] {
        return Query::Bad(rcode::FORMAT_ERROR);
    }
    match question(message) {
        Some(question) => Query::Question(question),
        None => Query::Bad(rcode::FORMAT_ERROR),
    }
}

fn question(message: &[u8]) -> Option<Question> {
    let mut name = Vec::new();
    let mut plain = true;
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Longer ones are pointers, of which a question has no use.
        if length > 63 {
            return None;
        }
        let label = message.get(at..at + length)?;
        at += length;
        if !name.is_empty() {
            name.push(b'.');
        }
        plain &= label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_');
        name.extend(label.iter().map(u8::to_ascii_lowercase));
        if name.len() > MAX_NAME {
            return None;
        }
    }
    let &[a, b, c, d] = message.get(at..)?.first_chunk::<4>()?;
    let class_in = u16::from_be_bytes([c, d]) == IN;
    Some(Question { name, plain, kind: u16::from_be_bytes([a, b]), class_in, end: at + 4 })
}

/// The answer to a question: one address, or none.
pub fn answer(message: &[u8], question: &Question, code: u8, address: Option<&[u8]>) -> Vec<u8> {
    let mut out = head(message, code, [0, 1], [0, address.is_some().into()]);
    out.extend_from_slice(&message[HEADER..question.end]);
    if let Some(address) = address {
        out.extend_from_slice(&NAME_POINTER);
        out.extend_from_slice(&question.kind.to_be_bytes());
        out.extend_from_slice(&IN.to_be_bytes());
        out.extend_from_slice(&TTL.to_be_bytes());
        out.extend_from_slice(&(address.len() as u16).to_be_bytes());
        out.extend_from_slice(address);
    }
    out
}

/// The answer to what is no question. The message has a header.
pub fn refusal(message: &[u8], code: u8) -> Vec<u8> {
    head(message, code, [0, 0], [0, 0])
}

fn head(message: &[u8], code: u8, questions: [u8; 2], answers: [u8; 2]) -> Vec<u8> {
    // A response; the kind of query and "recursion desired" as asked; "recursion available"
    let flags = [0x80 | message[2] & 0x79, 0x80 | code];
    [&message[..2], &flags, &questions, &answers, &[0; 4]].concat()
}
