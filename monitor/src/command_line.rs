//! How a Windows program is given its words: as one line.

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// The words as one line that ends in a 0, from which C programs make the same words again
/// (learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments).
pub fn command_line(words: &[Vec<u16>]) -> Vec<u16> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(u16::from(b' '));
        }
        quote(word, &mut line);
    }
    line.push(0);
    line
}

fn quote(word: &[u16], line: &mut Vec<u16>) {
    line.push(QUOTE);
    let mut backslashes = 0;
    for &unit in word {
        if unit == BACKSLASH {
            backslashes += 1;
        } else {
            // Before a quote each counts for half of one.
            let more = if unit == QUOTE { backslashes + 1 } else { 0 };
            line.extend(std::iter::repeat_n(BACKSLASH, more));
            backslashes = 0;
        }
        line.push(unit);
    }
    line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
    line.push(QUOTE);
}

#[cfg(test)]
mod tests {
    use super::command_line;

    fn line(words: &[&str]) -> String {
        let words: Vec<Vec<u16>> = words.iter().map(|word| word.encode_utf16().collect()).collect();
        let line = command_line(&words);
        assert_eq!(line.last(), Some(&0));
        String::from_utf16(&line[..line.len() - 1]).unwrap()
    }

    #[test]
    fn words_become_a_line_that_says_them() {
        assert_eq!(line(&["C:\\A B\\qemu.exe", "x"]), r#""C:\A B\qemu.exe" "x""#);
        assert_eq!(line(&["a\"b", "c\\", "d\\\"e", ""]), r#""a\"b" "c\\" "d\\\"e" """#);
    }
}
