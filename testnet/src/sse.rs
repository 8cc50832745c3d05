//! Reads a server-sent event stream the way a client does.

/// One event or comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The `data:` lines, joined by newlines.
    Data(String),
    /// A line that begins with a colon.
    Comment(String),
}

impl Frame {
    /// The data, when it is data.
    pub fn data(&self) -> Option<&str> {
        match self {
            Frame::Data(data) => Some(data),
            Frame::Comment(_) => None,
        }
    }

    /// The data as JSON, when it is that.
    pub fn json(&self) -> Option<serde_json::Value> {
        self.data().and_then(|data| serde_json::from_str(data).ok())
    }
}

/// Splits bytes that arrive in any pieces into frames.
#[derive(Debug, Default)]
pub struct Frames {
    rest: Vec<u8>,
}

impl Frames {
    /// Takes the next piece; gives every frame it completes.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Frame> {
        self.rest.extend_from_slice(piece);
        let mut frames = Vec::new();
        while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.rest.drain(..end + 2).collect();
            frames.extend(parse(&String::from_utf8_lossy(&event)));
        }
        frames
    }
}

/// Reads a whole stream at once.
pub fn frames(text: &str) -> Vec<Frame> {
    let mut frames = Frames::default();
    frames.push(text.as_bytes())
}

/// The text of all deltas of a chat stream.
pub fn text(frames: &[Frame]) -> String {
    frames
        .iter()
        .filter_map(Frame::json)
        .filter_map(|chunk| {
            chunk
                .pointer("/choices/0/delta/content")?
                .as_str()
                .map(str::to_owned)
        })
        .collect()
}

fn parse(event: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut data: Vec<&str> = Vec::new();
    for line in event.lines() {
        if let Some(comment) = line.strip_prefix(':') {
            frames.push(Frame::Comment(comment.trim().to_owned()));
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        }
    }
    if !data.is_empty() {
        frames.push(Frame::Data(data.join("\n")));
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_split_anywhere_come_out_whole() {
        let text = "data: {\"a\":1}\n\n: ping\n\ndata: one\ndata: two\n\n";
        let whole = frames(text);
        let mut piecewise = Frames::default();
        let split: Vec<Frame> = text
            .bytes()
            .flat_map(|byte| piecewise.push(&[byte]))
            .collect();
        assert_eq!(whole, split);
        assert_eq!(whole[1], Frame::Comment("ping".to_owned()));
        assert_eq!(whole[2], Frame::Data("one\ntwo".to_owned()));
    }

    #[test]
    fn an_unfinished_frame_is_not_given_out() {
        assert!(frames("data: half").is_empty());
    }
}
