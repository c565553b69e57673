//! Bodies whose length was not known (RFC 9112, 7.1).

/// The chunks of a body, joined. Panics if its end is missing.
pub fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[line + 2..][..size]);
        rest = rest[line + 2 + size..].strip_prefix(b"\r\n").expect("a chunk's end");
        if size == 0 {
            assert!(rest.is_empty());
            return body;
        }
    }
}
