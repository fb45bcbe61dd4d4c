//! As much of JSON as one line of a request needs: an object of strings, numbers, true, false and null.

/// A value of the object.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Text(String),
    Bool(bool),
    Number(f64),
    Null,
}

/// An object's fields, as they came.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// Reads one object that is all of the text. None: it is anything else.
    pub fn parse(text: &str) -> Option<Object> {
        let mut parser = Parser { rest: text };
        let object = parser.object()?;
        parser.space();
        parser.rest.is_empty().then_some(object)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// A text; None where there is none.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// True where it says so.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn object(&mut self) -> Option<Object> {
        let mut fields = Vec::new();
        self.space();
        self.take("{")?;
        self.space();
        if self.take("}").is_some() {
            return Some(Object(fields));
        }
        loop {
            self.space();
            let name = self.text()?;
            self.space();
            self.take(":")?;
            self.space();
            fields.push((name, self.value()?));
            self.space();
            if self.take("}").is_some() {
                return Some(Object(fields));
            }
            self.take(",")?;
        }
    }

    fn value(&mut self) -> Option<Value> {
        for (token, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
            if self.take(token).is_some() {
                return Some(value);
            }
        }
        if self.rest.starts_with('"') {
            return self.text().map(Value::Text);
        }
        let end =
            self.rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.parse().ok().map(Value::Number)
    }

    fn text(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut out = String::new();
        loop {
            let mut chars = self.rest.chars();
            let next = chars.next()?;
            self.rest = chars.as_str();
            match next {
                '"' => return Some(out),
                '\\' => out.push(self.escape()?),
                c if c < ' ' => return None,
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let kind = chars.next()?;
        self.rest = chars.as_str();
        Some(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit()?;
                if (0xd800..0xdc00).contains(&first) {
                    self.take("\\u")?;
                    let second = self.unit()?;
                    return char::decode_utf16([first, second]).next()?.ok();
                }
                return char::from_u32(first.into());
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.rest.get(..4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.rest = &self.rest[4..];
        u16::from_str_radix(digits, 16).ok()
    }
}

/// Text as a JSON string.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_flat_objects() {
        let object = Object::parse(r#" {"a":"x\n\"\u00e9\ud83d\ude00", "b":true,"c":-1.5e3 , "d":null} "#).unwrap();
        assert_eq!(object.text("a"), Some("x\n\"é😀"));
        assert!(object.is_true("b"));
        assert!(!object.is_true("a"));
        assert_eq!(object.get("c"), Some(&Value::Number(-1500.0)));
        assert_eq!(Object::parse("{}"), Some(Object(vec![])));
    }

    #[test]
    fn refuses_all_else() {
        for text in [
            "",
            "{",
            "[]",
            "{\"a\":{}}",
            "{\"a\":1}x",
            "{\"a\" 1}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\n\"}",
            "{a:1}",
            "{\"a\":}",
            "{\"a\":1,}",
        ] {
            assert_eq!(Object::parse(text), None, "{text}");
        }
    }

    #[test]
    fn quotes() {
        let text = "a\"b\\c\u{1}é";
        assert_eq!(Object::parse(&format!("{{\"t\":{}}}", quote(text))).unwrap().text("t"), Some(text));
    }
}
