use proptest::prelude::*;

use super::*;

fn feed(splitter: &mut Splitter, pieces: &[&[u8]]) -> Result<Vec<String>, TooLong> {
    let mut out = Vec::new();
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        while let Some(event) = splitter.next_event() {
            out.push(String::from_utf8_lossy(&event?.data).into_owned());
        }
    }
    Ok(out)
}

fn events(text: &str) -> Vec<String> {
    feed(&mut Splitter::default(), &[text.as_bytes()]).unwrap()
}

#[test]
fn an_event_over_the_limit_is_refused_before_it_ends() {
    let mut splitter = Splitter::with_limit(16);
    let refused = feed(&mut splitter, &[b"data: ", b"0123456789", b"0123456789"]);
    assert_eq!(refused, Err(TooLong(16)));
}

#[test]
fn many_short_data_lines_cannot_pass_the_limit_together() {
    let mut splitter = Splitter::with_limit(32);
    assert_eq!(
        feed(&mut splitter, &[b"data: 0123456789\n".repeat(9).as_slice()]),
        Err(TooLong(32))
    );
}

#[test]
fn a_mebibyte_is_the_limit_when_none_is_given() {
    let fits = format!("data:{}\n\n", "x".repeat(MAX_LINE - 5));
    assert_eq!(events(&fits)[0].len(), MAX_LINE - 5);
    let over = format!("data:{}\n\n", "x".repeat(MAX_LINE));
    assert!(feed(&mut Splitter::default(), &[over.as_bytes()]).is_err());
}

#[test]
fn comments_names_and_ids_are_no_events() {
    assert!(events(": ping\n\nevent: ping\n\nid: 7\nretry: 10\n\n").is_empty());
    assert_eq!(events(": ping\ndata: a\nid: 1\n\n"), ["a"]);
}

#[test]
fn both_line_ends_mean_the_same() {
    assert_eq!(
        events("data: a\r\n\r\ndata:b\n\ndata:  c\r\n\n"),
        ["a", "b", " c"]
    );
}

#[test]
fn data_lines_of_one_event_are_joined() {
    assert_eq!(events("data: a\ndata\ndata: b\n\n"), ["a\n\nb"]);
}

#[test]
fn a_byte_order_mark_at_the_start_is_skipped() {
    assert_eq!(events("\u{feff}data: a\n\n"), ["a"]);
}

#[test]
fn an_event_named_error_is_marked_and_the_next_one_is_not() {
    let mut splitter = Splitter::default();
    splitter.push("event: error\ndata: {}\n\ndata: {}\n\n".into());
    assert!(splitter.next_event().unwrap().unwrap().named_error);
    assert!(!splitter.next_event().unwrap().unwrap().named_error);
}

#[test]
fn an_incomplete_last_block_is_found_at_the_end_only() {
    let mut splitter = Splitter::default();
    splitter.push("data: [DONE]".into());
    assert!(splitter.next_event().is_none());
    assert_eq!(&splitter.rest().unwrap().data[..], b"[DONE]");
    assert!(splitter.rest().is_none());
}

#[test]
fn a_line_within_one_piece_is_a_slice_of_it() {
    let piece = Bytes::from_static(b"data: abc\n\n");
    let mut splitter = Splitter::default();
    splitter.push(piece.clone());
    let event = splitter.next_event().unwrap().unwrap();
    assert_eq!(event.data.as_ptr(), piece[6..].as_ptr());
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_events(
        lines in proptest::collection::vec("(data: ?|event:|: |id:|data)?[a-z{}\":, \u{e9}]{0,12}(\r\n|\n|\n\n)", 0..40),
        cuts in proptest::collection::vec(1usize..9, 1..60),
        limit in 8usize..40,
    ) {
        let text = lines.concat().into_bytes();
        let whole = feed(&mut Splitter::with_limit(limit), &[&text]);
        let bytewise: Vec<&[u8]> = text.chunks(1).collect();
        let mut pieces: Vec<&[u8]> = Vec::new();
        let (mut rest, mut cut) = (text.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(&whole, &feed(&mut Splitter::with_limit(limit), &bytewise));
        prop_assert_eq!(&whole, &feed(&mut Splitter::with_limit(limit), &pieces));
    }
}
