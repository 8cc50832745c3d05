//! Finds requests that are about somebody in particular or meant for few eyes, where no single
//! number or address gives it away.
//!
//! The rules go by kind: a message addressed to a person by name, a person named together with
//! something private about them, a statement of one's own health, money or birth, the traces of a
//! device, a firm named in full, a private marker ("confidential", "do not share"), and a firm's
//! own unpublished material. Asking about a kind of thing ("How is a salary taxed?") is none of
//! these. Patterns are tried in order; each is linear in the text.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::secrets::{pattern, set};

/// Words that mark what they stand in as private, and orders to keep it in one place.
const MARKERS: [&str; 5] = [
    r"(?i)\b(?:strictly|company|highly)?[ -]?confidential\b(?:[ -](?:memo|report|document|draft|data|information|figures|projections|planning|financial|board|do not|not for)|\s*[:.\])]|$)",
    r"(?i)\b(?:our|this|these|the|some)\s+(?:\w+\s+){0,2}(?:confidential|privileged)\s+\w+",
    r"(?i)\b(?:internal (?:use )?only|for internal use|not for (?:distribution|publication|release)|do not (?:share|distribute|forward|disclose)|don't (?:share|forward)(?: this)?|under (?:an? )?nda|eyes only|trade secrets? (?:documentation|document|of ours))\b",
    r"(?i)\b(?:do not|don't|never|must not) (?:send|upload|transmit|use) (?:this|these|the data|it|any data|external|cloud)\b|\bon[ -]prem(?:ises)?(?: environment)?(?: only|,)|\b(?:must|should|has to|have to|can) be (?:processed|handled|kept)\b.{0,60}\bonly\b|\b(?:process|handle|run|keep)\s+(?:this|it|these|the data)\b.{0,60}\b(?:no cloud|locally|our local|sovereign|on[ -]prem\w*)\b|\bnever leaves? (?:our|the) (?:data ?cent(?:er|re)|network|premises)\b",
    r"机密|保密|内部(?:文档|资料|服务|设计|会议|董事|报告)|vertraulich|confidentiel|confidencial",
];

/// A firm's own material that is not public.
const OWN_MATERIAL: [&str; 4] = [
    r"(?i)\b(?:our|this|these)\s+(?:\w+\s+){0,2}(?:internal|proprietary|unreleased|unpublished|in-house)\s+\w+|\bthe\s+(?:proprietary|unreleased|unpublished)\s+\w+|\b(?:the|an?)\s+internal\s+(?:\w+\s+)?(?:briefing|memo|minutes|notes|document\w*|report|runbook|wiki|roadmap|presentation|audit|e?mail|policy)\b",
    r"(?i)\bour\s+(?:\w+\s+){0,2}(?:source code|private repositor(?:y|ies)|codebase|patent claims|(?:new )?invention|trade secrets?|database schema|deployment pipeline|infrastructure cost|(?:customer|user|employee|client|patient)s?(?:'s)?\s+(?:base|data\w*|list|records?|files?))\b|\bfrom our private\b",
    r"(?i)\b(?:this|these|the|our)\s+(?:\w+\s+){0,4}(?:customer|client|patient|employee|applicant|payroll|hr|human resources|crm|support|health|medical)s?\s+(?:\w+\s+){0,3}(?:data\w*|export|lists?|records?|files?|tickets?|survey|notes)\b",
    r"(?i)\b(?:psychotherapy|clinical|patient|payroll|biometric|payment dispute)\s+(?:\w+\s+){0,2}(?:notes|data|records?|export|histor(?:y|ies)|identifiers?)\b.{0,80}\b(?:our|system|employees?|patients?)\b",
];

/// Traces of one device, one place in a network, one account or one page.
const TRACES: [&str; 14] = [
    r"(?i)\b(?:pin|otp|cvv|cvc|imei|vin|zip|plate|registration|bic|swift|licen[cs]e|passport)\s*(?:code|no\.?|number)?\s*(?:is|was|-|:|=|#)?\s*[A-Z]{0,4}[0-9][0-9A-Z-]+\b",
    r"(?i)\b(?:password|passcode|user ?name|login|credentials?)\s+(?:is\s+|was\s+|:\s*)?(?-i:[A-Za-z0-9_.-]*(?:[0-9_]|[a-z][A-Z])[A-Za-z0-9_.-]*)",
    r"(?i)\b(?:use|pay|paid|card|number|code|account|id|transfer\w*|call|dial|deposit\w*|credited?|charged?|verif\w+|reference)\b.{0,40}\b[0-9]{9,}\b",
    r"(?i)\b(?:in|near|around|zip|postcode)\s+[0-9]{5}(?:-[0-9]{4})?(?:[.,;]|\s+(?:needs?|is|are|has|have|for|and|to|who|where|area|region)\b|$)|\b(?:apt|apartment|suite|flat)\.?\s*#?[0-9]+\b|(?-i:\b[A-Z][a-z]+,?\s+[A-Z]{2}\s+[0-9]{5}\b)",
    r"(?i)\b(?:eye colou?r|height|weight|blood (?:type|group)|gender|sex|marital status|religion|nationality|ethnicity|age)\s*[:=]\s*\S",
    r"\b[0-9]{5}-[0-9]{4}\b|-?\b[0-9]{1,3}\.[0-9]{3,},\s?-?[0-9]{1,3}\.[0-9]{3,}\b|(?:^|\s)@[A-Za-z_][\w.]{3,}|(?i)\buser ?name\s*(?:is|:|=)\s*\S",
    r"\b(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}\b",
    r"(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b",
    r"(?i)\b[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}\b",
    r"\b(?:Mozilla|Opera)/[0-9]",
    r"(?i)\bhttps?://[^\s/]+\.[a-z]{2,}",
    r"\b0x[0-9a-fA-F]{40}\b|\b(?:bc1|[13LM])[a-km-zA-HJ-NP-Z1-9]{25,40}\b",
    r"\b[0-9]{2}-[0-9]{6}-[0-9]{6}-[0-9]\b|\b[A-HJ-NPR-Z0-9]{3}[A-HJ-NPR-Z]{1}[A-HJ-NPR-Z0-9]{4}[0-9X][A-HJ-NPR-Z0-9]{2}[0-9]{6}\b",
    r"(?i)\b(?:order|invoice|booking|reservation|ticket|case|claim|policy|member|membership|customer|employee|patient|student|staff|reference|tracking|vehicle|plate|licen[cs]e|badge|tax|vat|national|insurance|imei|vin|pin|otp|verification|access|security|zip|postal)\s*(?:id|no\.?|nr\.?|number|code|plate|#)\s*(?:is|was|-|:|=|#|of)?\s*[a-z]{0,4}[ -]?[0-9][0-9a-z-]{2,}\b",
];

/// What someone says of their own or another one's health, money, law, birth or home.
const CIRCUMSTANCES: [&str; 10] = [
    r"(?i)\b[0-9]{1,3}[ -]?(?:years?[ -])?old\s+(?:\w+\s+)?(?:child|boy|girl|man|woman|male|female|person|patient|student|employee|client|resident|\w*sex\w*|trans\w*)\b",
    r"(?i)\b(?:i|he|she|they|we)(?:'ve|'m|'s| have| has| had| am| is| was| were)?\s+(?:been\s+|just\s+|recently\s+)?(?:diagnosed with|suffer(?:s|ing|ed)? from|tested positive|hospitali[sz]ed|(?:in|on) chemo\w*|hiv[ -]positive|pregnant|depressed|bipolar|suicidal|an? addict|in rehab)\b",
    r"(?i)\b(?:i have|i've got|i've had|i was treated for|i take|i am taking|i'm taking)\s+(?:\w+\s+){0,2}(?:diabetes|cancer|tumou?r|hiv|aids|depression|anxiety|adhd|asthma|epilepsy|herpes|hepatitis|ptsd|schizophrenia|lupus|insulin|antidepressants?|medication)\b",
    r"(?i)\bmy (?:\w+\s+)?(?:diagnosis|prescription|therap(?:y|ist)|medical (?:record|history|condition)s?|lab results?|test results?|biopsy|std|hiv status|medication)\b",
    r"(?i)\b(?:my|his|her|their|your|our)\s+(?:\w+\s+){0,2}(?:salary|income|wage|balance|debt|net worth|mortgage|loan|credit score|savings|rent|pension)\s+(?:is|was|of|are|stands at)\s*(?:only|about|around|now|at)?\s*\W?\s?[0-9]",
    r"(?i)\b(?:born (?:on|in)|date of birth|dob|birth ?day (?:is|was)|birthdate)\b.{0,20}[0-9]{1,4}",
    r"(?i)\b(?:i am|i'm|he is|he's|she is|she's|aged?)\s+(?:an? )?[0-9]{1,3}(?:[ -]years?[ -]old|\s+and\s+(?:live|have|earn|weigh))\b",
    r"(?i)\b(?:i|we) (?:live|reside) (?:at|on)\s+[0-9]|\b(?:my|our|his|her|their|home|office|mailing|shipping|billing|postal|current) address (?:is|of|:)\s",
    r"\b[0-9]{1,5}[A-Za-z]?,?\s+(?:[A-Z][a-z]+\s+){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Place|Pl|Square|Terrace|Crescent|Close|Parkway|Highway|Ridge|Mews|Row|Walk)\b|\b(?:[1-9][0-9]{2}|[3-9][0-9]{3}|[1-9][0-9]{4})\s[A-Z][a-z]+\s[A-Z][a-z]+\b",
    r"(?i)\b(?:my|our|his|her) (?:divorce|custody (?:case|battle|hearing)|lawsuit|court (?:case|date|hearing)|arrest|conviction|criminal record|parole|visa application|asylum (?:case|claim)|bankruptcy)\b",
];

/// A date, an hour, or a sum that belongs to one appointment or one bill.
const DEALINGS: [&str; 4] = [
    r"(?i)\b(?:appointment|check-?up|surgery|session|vaccination|consultation|interview|hearing|evaluation|screening|delivery|viewing)\b.{0,50}\b(?:[0-9]{1,2}\s*(?:o'clock|[ap]\.?m\b|:[0-9]{2})|[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4})",
    r"(?i)\b(?:overdue|outstanding|unpaid|past due)\b.{0,60}[0-9]|[0-9].{0,80}\b(?:is|are|remains?) (?:still )?(?:overdue|outstanding|pending|unpaid|past due)\b",
    r"(?i)\b(?:transfer|wire|send|pay|paid|deposit|refund|charge|credit|debit)(?:ed|s)?\b.{0,40}\b(?:to|from|into) (?:the |my |your |his |her |our )?(?:account|card|wallet)\s*[a-z]{0,4}[0-9*x]{4,}",
    r"(?i)\b(?:kindly|we look forward|we(?:'d| would) like (?:you )?to|we (?:need|want|have|request|invite|regret|are pleased)|please (?:confirm|reply|find|be informed|note|ensure|clear|check|contact|get in touch|provide|use|review)|confirm if|reply to this|reach out to|as (?:discussed|agreed)|for your (?:records|reference|convenience)|your (?:mailbox|dues|registration|enrol\w*))\b.{0,200}(?:[0-9][0-9/.:,-]{3,}|[A-Z0-9]*[0-9][A-Z0-9]{4,})",
];

/// A firm by its full name.
const FIRMS: [&str; 2] = [
    r"\b[A-Z][\w'-]+(?:,? (?:LLC|LLP|PLC|plc|Ltd|Limited|GmbH|AG|S\.?A\.?R?\.?L?|B\.?V|Pty|Inc|Corp|Group|Holdings|Partners|Associates)\b| (?:and|&) (?:Sons|Daughters|Co|Company|Partners|Associates|Brothers)\b)",
    r"\b[A-Z][a-z'-]+, [A-Z][a-z'-]+ (?:and|&) [A-Z][a-z'-]+ (?:has|have|is|was|will|offers?|needs?|wants?|requires?|announced)\b",
];

/// What is private when a person is named in the same text.
const PERSONAL: &str = r"(?i)\b(?:therap\w+|counsel\w+|patient|diagnos\w+|medical|clinic\w*|hospital|doctor|health|surgery|vaccin\w+|appointment|check-?up|prescription|treatment|session|symptoms?|allerg\w+|blood|salary|payroll|wage|bonus|income|debt|loan|mortgage|invoice|payment|balance|account|overdue|refund|credit|tax(?:es)?|lawsuit|custody|divorce|court|attorney|lawyer|arrest\w*|convict\w*|complaint|disciplinary|performance|fired|dismiss\w*|resign\w*|grades?|enrol\w*|tuition|address|lives?|living|office|phone|email|mail|contact|passport|visa|birthday|meeting|report|details|records?|profile|evaluation|feedback|schedule|application|insurance|policy|claim)\b";

/// People as they are addressed: a greeting or a title before a name, or a name before a comma.
static GREETED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?:^|[.!?]\s+|\n)\s*(?i:hello|hi|hey|dear|greetings|good (?:morning|afternoon|evening)|attention|attn|welcome|thanks|thank you|congratulations),?\s+(?:(?i:mr|mrs|ms|miss|dr|prof|professor|sir|madam)\.?\s+)?([A-Z][a-z'-]+)(?:\s+[A-Z][a-z'-]+)?\s*[,.!:;-]",
    )
});
static TITLED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Doctor|Nurse|Judge|Officer|Patient|Student|Employee|Client|Tenant|Captain|Sergeant)\.?\s+[A-Z][a-z'-]+",
    )
});
static TITLE_FIRST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"^\s*(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor)\.?\s+[A-Z][a-z'-]+(?:\s+[A-Z][a-z'-]+)?\s*,")
});
static CALLED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"(?:^|[.!?]\s+|\n)\s*([A-Z][a-z'-]{2,})(?:\s+[A-Z][a-z'-]+)?,\s+(I|[a-z]{2,})\b")
});
static ASKED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?:^|[.!?]\s+|\n)\s*([A-Z][a-z'-]{2,})\s+(?:(?:could|can|would|will)\s+you|please|kindly)\b",
    )
});
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i:\b(?:for|of|by|from|with|to|about|regarding|contact|call|email|meet|remind|ask|tell|employee|patient|client|student|customer|colleague|manager|boss|husband|wife|son|daughter|friend|neighbou?r|named|called|is))\s+[A-Z][a-z'-]+\s+[A-Z][a-z'-]+\b|,\s+[A-Z][a-z'-]+\s+(?:may|might|needs?|has|is|was|wants?|should|must)\b|(?i:\b(?:consider|recommend|nominate|promote|appoint|ask|tell|remind|inform|notify|invite|email))\s+[A-Z][a-z'-]+\b",
    )
});
static SETS: LazyLock<Option<[RegexSet; 6]>> = LazyLock::new(|| {
    Some([
        set(&MARKERS)?,
        set(&OWN_MATERIAL)?,
        set(&TRACES)?,
        set(&CIRCUMSTANCES)?,
        set(&DEALINGS)?,
        set(&FIRMS)?,
    ])
});
/// Written to people, as letters and notices are, and not asked.
static MESSAGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:^|[^a-z])(?:we(?:'re|'ll|'ve|'d)?|our|us)\b.{0,300}\b(?:you|your|please|kindly|team|participants?|students?|patients?|employees?|clients?|members?|everyone|all|bring|join|attend|register|submit)\b|\b(?:please|kindly|your|dear|note that|reminder|notice|attention|alert|fyi|confirm|you will|you are|you're)\b.{0,300}\b(?:we|our|us|records?|registered|scheduled|enrol\w*|appointment|session|details|access|verif\w+)\b",
    )
});
/// A full date, an hour, a long number, or a sum with its currency run into it.
static PARTICULAR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)\b[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{2,4}\b|\b[0-9]{1,2}\s*(?:o'clock|[ap]\.?m\b|:[0-9]{2}\b)|\b[0-9]{5,}\b|\b[a-z]{2,}[$€£]?[0-9][0-9.,]*[km]?\b|[$€£]\s?[0-9][0-9.,]+[km]?\b",
    )
});
static PRIVATE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(PERSONAL));

/// Capitalised words that open a sentence before a comma without being anybody's name.
const OPENERS: [&str; 93] = [
    "After",
    "Afterwards",
    "Again",
    "Also",
    "Although",
    "And",
    "Anyway",
    "April",
    "Assume",
    "August",
    "Because",
    "Besides",
    "But",
    "Damn",
    "Days",
    "December",
    "Else",
    "Everyone",
    "Explain",
    "February",
    "First",
    "Friday",
    "Furthermore",
    "Given",
    "Guess",
    "Guys",
    "Hello",
    "Help",
    "Hence",
    "Here",
    "Hey",
    "Hi",
    "How",
    "However",
    "If",
    "Instead",
    "January",
    "July",
    "June",
    "Last",
    "Later",
    "Listen",
    "Look",
    "March",
    "May",
    "Maybe",
    "Meanwhile",
    "Monday",
    "Moreover",
    "Nevertheless",
    "Next",
    "No",
    "November",
    "Now",
    "October",
    "Oh",
    "Ok",
    "Okay",
    "Or",
    "Otherwise",
    "Overall",
    "Perhaps",
    "Please",
    "Right",
    "Saturday",
    "Second",
    "September",
    "So",
    "Sorry",
    "Still",
    "Sunday",
    "Sure",
    "Thanks",
    "Then",
    "Therefore",
    "Thursday",
    "Thus",
    "Today",
    "Tomorrow",
    "Tuesday",
    "Wednesday",
    "Well",
    "What",
    "When",
    "Where",
    "Which",
    "Who",
    "Whom",
    "Whose",
    "Why",
    "Wow",
    "Yes",
    "Yesterday",
];

/// Words after a comma that go on about the name instead of speaking to it.
const APPOSED: [&str; 16] = [
    "the", "and", "but", "who", "which", "or", "where", "what", "why", "how", "whose", "an", "as",
    "in", "on", "at",
];

/// The first word of a sentence may be the name of the one spoken to.
fn may_be_called(word: &str) -> bool {
    !OPENERS.contains(&word) && !word.ends_with("ly") && !word.ends_with("ing")
}

/// Why `text` is private, or `None`. Without working patterns everything counts as private.
pub(super) fn find(text: &str) -> Option<&'static str> {
    let Some([markers, own, traces, circumstances, dealings, firms]) = SETS.as_ref() else {
        return Some("cannot be checked for personal data");
    };
    if markers.is_match(text) {
        return Some("is marked as private");
    }
    if own.is_match(text) {
        return Some("is a firm's own material");
    }
    if traces.is_match(text) {
        return Some("holds a personal identifier");
    }
    let about = circumstances.is_match(text) || dealings.is_match(text);
    if about || firms.is_match(text) || addresses_somebody(text) || has_particulars(text) {
        return Some("is about somebody in particular");
    }
    None
}

/// A message with particulars, or a token no word or formula looks like.
fn has_particulars(text: &str) -> bool {
    let matches = |pattern: &Option<Regex>| pattern.as_ref().is_none_or(|p| p.is_match(text));
    if matches(&MESSAGE) && matches(&PARTICULAR) {
        return true;
    }
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(is_identifier)
}

/// Ten or more letters and digits that change between the two at least three times.
fn is_identifier(token: &str) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit();
    let changes = token
        .as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if digit(a) != digit(b)));
    token.len() >= 10 && changes.count() >= 3
}

fn addresses_somebody(text: &str) -> bool {
    let matches = |pattern: &Option<Regex>| pattern.as_ref().is_none_or(|p| p.is_match(text));
    let called = CALLED.as_ref().is_none_or(|pattern| {
        pattern
            .captures_iter(text)
            .any(|found| may_be_called(&found[1]) && !APPOSED.contains(&&found[2]))
    });
    let asked = ASKED.as_ref().is_none_or(|pattern| {
        pattern
            .captures_iter(text)
            .any(|found| may_be_called(&found[1]))
    });
    if matches(&GREETED) || matches(&TITLE_FIRST) || called || asked {
        return true;
    }
    let named = matches(&TITLED) || matches(&NAMED);
    named && matches(&PRIVATE)
}

#[cfg(test)]
mod tests;
