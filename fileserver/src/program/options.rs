//! Options that come in pairs.

/// The values of options that come in pairs, by the names in their order. None: an unknown one, one twice, or one without a value.
pub fn options<'a, const N: usize>(args: &[&'a [u8]], names: [&str; N]) -> Option<[Option<&'a [u8]>; N]> {
    let mut values = [None; N];
    for pair in args.chunks(2) {
        let [name, value] = pair else { return None };
        let at = names.iter().position(|known| known.as_bytes() == *name)?;
        if values[at].replace(*value).is_some() {
            return None;
        }
    }
    Some(values)
}
