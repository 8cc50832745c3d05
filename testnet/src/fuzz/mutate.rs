//! Bends an input: sometimes as a line does it, sometimes as one who knows JSON and events would.

use rand::RngExt as _;
use rand::rngs::SmallRng;

/// Values and marks that readers have stumbled on.
const PIECES: [&[u8]; 34] = [
    b"null",
    b"true",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1e400",
    b"4294967295",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[]]",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"data: ",
    b"data:",
    b"data: [DONE]\n\n",
    b"event: error\n",
    b"event: message_stop\n",
    b": ping\n\n",
    b"id: 1\n",
    b"\n\n",
    b"\r\n\r\n",
    b"\r",
    b"\"index\":",
    b"\"error\":{\"message\":\"x\"},",
    b"\"finish_reason\":\"stop\"",
    b"\"stop_reason\":\"end_turn\"",
    b"\"finishReason\":\"STOP\"",
    b"\"done\":true",
    b"\"usage\":null,",
    b"\"choices\":[],",
];

/// One of the corpus, bent one to six times.
pub(super) fn bend(corpus: &[Vec<u8>], random: &mut SmallRng, most: usize) -> Vec<u8> {
    let mut input = pick(corpus, random).clone();
    for _ in 0..random.random_range(1..=6) {
        once(&mut input, corpus, random);
    }
    input.truncate(most);
    input
}

fn pick<'a>(corpus: &'a [Vec<u8>], random: &mut SmallRng) -> &'a Vec<u8> {
    &corpus[random.random_range(0..corpus.len())]
}

fn once(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut SmallRng) {
    if input.is_empty() {
        input.extend_from_slice(pick(corpus, random));
        return;
    }
    let at = random.random_range(0..input.len());
    let end = (at + random.random_range(1..=64)).min(input.len());
    match random.random_range(0..14_u32) {
        0 => input[at] ^= 1 << random.random_range(0..8_u32),
        1 => input[at] = random.random(),
        2 => drop(input.drain(at..end)),
        3 => input.truncate(at),
        4 => {
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        5 => splice(input, at, random),
        6 => value(input, at, random),
        7 => lines(input, random),
        8 => {
            let other = pick(corpus, random);
            let from = random.random_range(0..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        9 => number(input, at, random),
        10 => nest(input, at, random),
        11 => {
            let text = String::from_utf8_lossy(input).replace('\n', "\r\n");
            *input = text.into_bytes();
        }
        12 => {
            let long = vec![b'a'; random.random_range(1..=20_000)];
            input.splice(at..at, long);
        }
        _ => repeat(input, random),
    }
}

fn splice(input: &mut Vec<u8>, at: usize, random: &mut SmallRng) {
    let piece = PIECES[random.random_range(0..PIECES.len())];
    input.splice(at..at, piece.iter().copied());
}

/// Puts something else where a value of JSON stands.
fn value(input: &mut Vec<u8>, at: usize, random: &mut SmallRng) {
    let Some(colon) = input[at..].iter().position(|byte| *byte == b':') else {
        return;
    };
    let start = at + colon + 1;
    let rest = &input[start..];
    let length = rest
        .iter()
        .position(|byte| matches!(byte, b',' | b'}' | b']' | b'\n'));
    let end = start + length.unwrap_or(rest.len());
    let piece = PIECES[random.random_range(0..14)];
    input.splice(start..end, piece.iter().copied());
}

/// Swaps, drops or doubles a line.
fn lines(input: &mut Vec<u8>, random: &mut SmallRng) {
    let mut lines: Vec<Vec<u8>> = input
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let (one, other) = (
        random.random_range(0..lines.len()),
        random.random_range(0..lines.len()),
    );
    match random.random_range(0..3_u32) {
        0 => lines.swap(one, other),
        1 => drop(lines.remove(one)),
        _ => {
            let copy = lines[one].clone();
            lines.insert(other, copy);
        }
    }
    *input = lines.join(&b'\n');
}

/// Puts another number where one stands.
fn number(input: &mut Vec<u8>, at: usize, random: &mut SmallRng) {
    let Some(digit) = input[at..].iter().position(u8::is_ascii_digit) else {
        return;
    };
    let start = at + digit;
    let length = input[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let numbers: [u64; 6] = [0, 1, 63, 128, u64::from(u32::MAX), u64::MAX];
    let number = numbers[random.random_range(0..numbers.len())].to_string();
    input.splice(start..start + length, number.into_bytes());
}

/// Brackets, deeper than any reader should follow.
fn nest(input: &mut Vec<u8>, at: usize, random: &mut SmallRng) {
    let deep = random.random_range(1..=2000);
    let bracket = if random.random() { b'[' } else { b'{' };
    input.splice(at..at, vec![bracket; deep]);
}

/// One of its events, many times over.
fn repeat(input: &mut Vec<u8>, random: &mut SmallRng) {
    let events: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
    let event = events[random.random_range(0..events.len())];
    let repeated = [event, b"\n"].concat().repeat(random.random_range(2..=200));
    let at = random.random_range(0..=input.len());
    input.splice(at..at, repeated);
}
