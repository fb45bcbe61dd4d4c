//! Numbers as text and back, without the formatting machinery (under emulation its code is not free).

/// A number in decimal.
pub struct Decimal {
    buf: [u8; 20],
    start: usize,
}

impl Decimal {
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }
}

/// Writes a number in decimal.
pub fn decimal(mut value: u64) -> Decimal {
    let mut out = Decimal { buf: [0; 20], start: 20 };
    loop {
        out.start -= 1;
        out.buf[out.start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out;
        }
    }
}

/// Reads a decimal number that fills `text`.
pub fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &b| {
        if !b.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(b - b'0'))
    })
}
