//! Word lists of the guards: what carries no subject, what means the same, what means the opposite.
//!
//! Written by hand for English. A missing synonym costs a hit; a missing opposite is still caught,
//! because a word without its match on the other side is evidence against reuse.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use super::words::stem;

/// Grammar and framing: dropped before subjects are compared.
const STOP_WORDS: &str = "a an the i you me my your yours mine we us our ours he him his she her hers it its \
    they them their theirs one oneself myself yourself am is are was were be been being do does did done have has had having \
    can could shall should will would may might must ought of in on at for with to from into onto than before after \
    by about against since until over under without as and if unless or so then also just really actually basically \
    that which who whom whose what when where why how there here some any not no never nor \
    mean means definition concept exactly ok okay please reason reasons";

/// Framings of a question, taken off its front as often as they stand there.
const FRAMINGS: &str = "please|kindly|hi|hello|hey|thanks|tell me about|tell me|give me|show me|let me know|i want to know about\
    |i want to know|i need to know|i would like to know|i like to know|i want you to|i need you to|i wonder|i am wondering\
    |i was wondering|i am curious|i have a question|help me understand|help me to|help me|explain to me|explain|describe\
    |define|what is meant by|what do you mean by|what do we mean by|what is the meaning of|what is the definition of|in your opinion|do you know|can you|could you|would you|will you|can u|so|well|ok|okay|quick question|teach me";

/// What a polite "can you" must be followed by to be a request and not a question.
const COMMANDS: &str = "please kindly explain tell describe define give show help write list summarize summarise translate \
    convert create generate make find provide calculate recommend suggest compare let teach draft rewrite fix solve check";

/// Sets of stems that may stand for one another; the first one is the representative.
const SYNONYMS: &str = "advantage benefit pro upside|disadvantage drawback con downside|begin start commence\
    |end finish conclude|buy purchase|big large huge|small little tiny|quick fast rapid|fix repair|picture image photo photograph\
    |movie film|car automobile|phone telephone cellphone|job occupation|build construct|choose select pick|delete remove erase\
    |required necessary needed|main primary principal|difference distinction differ different|example instance|purpose goal aim|important significant\
    |hard difficult tough|easy simple|happen occur|use utilize utilise|make create produce generate|speak talk|doctor physician\
    |child kid children|person people|rich wealthy|smart intelligent clever|ill sick|happy glad|sad unhappy|foot feet|tooth teeth\
    |mouse mice|kg kilogram kilo|g gram|lb lbs pound|km kilometer kilometre|m meter metre|cm centimeter centimetre|mi mile\
    |hr hour|min minute|sec second|usd dollar|eur euro|celsius centigrade|usa america|uk britain|js javascript|ts typescript\
    |db database|app application|info information|tv television|math mathematics|color colour|center centre|favorite favourite\
    |organize organise|decrease reduce|increase raise|pc computer";

/// Pairs that must not face each other, as words, not stems.
const OPPOSITES: &str = "enable disable|enabled disabled|enabling disabling|activate deactivate|on off|in out|up down\
    |before after|with without|over under|above below|inside outside|to from|into from|for against|open close|opened closed\
    |increase decrease|increasing decreasing|increase reduce|raise lower|raise reduce|more less|more fewer|most least|most fewest\
    |maximum minimum|max min|maximize minimize|maximise minimise|highest lowest|higher lower|high low|best worst|better worse\
    |good bad|positive negative|plus minus|add remove|add subtract|add delete|insert delete|create delete|create destroy\
    |multiply divide|buy sell|buying selling|bought sold|purchase sell|borrow lend|rent own|win lose|winning losing\
    |gain lose|gain loss|profit loss|start stop|start end|start finish|begin end|begin finish|first last|earliest latest\
    |oldest newest|older newer|older younger|oldest youngest|old new|old young|early late|earlier later|fast slow|faster slower\
    |fastest slowest|hot cold|warm cool|hotter colder|heat cool|heating cooling|freeze melt|freeze thaw|big small|bigger smaller\
    |biggest smallest|large small|larger smaller|largest smallest|long short|longer shorter|longest shortest|tall short\
    |taller shorter|tallest shortest|wide narrow|thick thin|heavy light|heavier lighter|strong weak|stronger weaker|hard soft\
    |hard easy|difficult easy|harder easier|rich poor|cheap expensive|cheaper pricier|cheapest expensive|full empty\
    |safe dangerous|safe unsafe|true false|right wrong|right left|correct incorrect|correct wrong|legal illegal|alive dead\
    |love hate|like dislike|like hate|agree disagree|accept reject|accept decline|accept refuse|allow deny|allow forbid\
    |allow block|allow prevent|permit forbid|permit prohibit|grant revoke|block unblock|lock unlock|mute unmute|install uninstall\
    |follow unfollow|subscribe unsubscribe|connect disconnect|attach detach|mount unmount|encrypt decrypt|encode decode\
    |compress decompress|zip unzip|upload download|import export|push pull|send receive|sent received|give take|give receive\
    |arrive depart|arrival departure|enter exit|enter leave|come go|join leave|hire fire|pass fail|succeed fail|success failure\
    |attack defend|build destroy|male female|man woman|men women|boy girl|boys girls|husband wife|father mother|son daughter\
    |brother sister|king queen|north south|east west|northern southern|eastern western|front back|top bottom|day night\
    |morning evening|summer winter|indoor outdoor|indoors outdoors|internal external|public private|domestic international|domestic foreign\
    |input output|inbound outbound|incoming outgoing|client server|local remote|sync async|synchronous asynchronous\
    |online offline|manual automatic|manually automatically|include exclude|including excluding|advantage disadvantage|advantages disadvantages\
    |pros cons|benefits drawbacks|benefit drawback|benefits risks|benefit risk|strengths weaknesses|always never|all none|everyone nobody|everything nothing\
    |both neither|either neither|same different|similar different|always sometimes|everybody nobody|credit debit|lend borrow|import export\
    |teach learn|ask answer|question answer|parent child|acid base|acidic alkaline|acute chronic|major minor|odd even|ascending descending\
    |ascend descend|rise fall|rising falling|rise drop|grow shrink|expand contract|expand shrink|widen narrow|lengthen shorten|strengthen weaken\
    |improve worsen|save spend|save waste|save load|remember forget|found lost|find lose|show hide|visible hidden|cause cure\
    |cause prevent|treat cause|help harm|prevent encourage|wet dry|clean dirty|light dark|loud quiet|sweet sour|optimistic pessimistic\
    |employed unemployed|single married|marry divorce|virtual physical|temporary permanent|dynamic static|mutable immutable|horizontal vertical\
    |horizontally vertically|clockwise counterclockwise|singular plural|supply demand|offense defense|victory defeat|ancient modern|quantity quality|softer harder|every any|everyone anyone|everybody anybody|rent buy|rent purchase|rent sell|night morning|day evening|hour minute|minute second|seconds minutes|minutes hours|all any|all some|all most|both either|only also|few most";

/// Prefixes that turn a word into its opposite.
const REVERSING: [&str; 10] = [
    "un", "in", "im", "il", "ir", "dis", "non", "de", "mis", "anti",
];

static STOPS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| STOP_WORDS.split_whitespace().collect());

static FRAMING: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    let mut phrases: Vec<Vec<&str>> = FRAMINGS
        .split('|')
        .map(|phrase| phrase.split_whitespace().collect())
        .collect();
    phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.len()));
    phrases
});
static COMMAND: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| COMMANDS.split_whitespace().collect());

static REPRESENTATIVES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let mut map = HashMap::new();
    for set in SYNONYMS.split('|') {
        let mut stems = set.split_whitespace().map(stem);
        let Some(first) = stems.next() else { continue };
        for other in stems {
            map.entry(other).or_insert_with(|| first.clone());
        }
    }
    map
});

static OPPOSITE_OF: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let mut map: HashMap<&str, Vec<&str>> = HashMap::new();
    for (a, b) in OPPOSITES
        .split('|')
        .filter_map(|pair| pair.trim().split_once(' '))
    {
        map.entry(a).or_default().push(b);
        map.entry(b).or_default().push(a);
    }
    map
});

/// The word is grammar or framing.
pub(super) fn is_stop_word(word: &str) -> bool {
    STOPS.contains(word)
}

/// How many words at the front of `words` only frame the question.
pub(super) fn framing_length(words: &[&str]) -> usize {
    let mut taken = 0;
    while let Some(phrase) = FRAMING
        .iter()
        .find(|phrase| words[taken..].starts_with(phrase))
    {
        let after = words.get(taken + phrase.len()).copied().unwrap_or_default();
        let asks_you = matches!(phrase.as_slice(), ["can" | "could" | "would" | "will", _]);
        if asks_you && !COMMAND.contains(after) {
            break;
        }
        taken += phrase.len();
    }
    // a text of framings alone keeps its words
    if taken < words.len() { taken } else { 0 }
}

/// The stem, or the stem that stands for its synonyms.
pub(super) fn canonical(word: &str) -> String {
    let stem = stem(word);
    REPRESENTATIVES.get(&stem).cloned().unwrap_or(stem)
}

/// Some word of one side faces its opposite on the other, and neither side has both.
pub(super) fn opposed(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other).cloned().collect()
    };
    let (left, right) = (only(a, b), only(b, a));
    left.iter()
        .any(|x| right.iter().any(|y| are_opposites(x, y)))
}

fn are_opposites(a: &str, b: &str) -> bool {
    let listed = |a: &str, b: &str| OPPOSITE_OF.get(a).is_some_and(|others| others.contains(&b));
    let reversed = |a: &str, b: &str| {
        a.len() >= 3
            && REVERSING.iter().any(|prefix| {
                b.strip_prefix(prefix)
                    .is_some_and(|rest| rest == a || stem(rest) == stem(a))
            })
    };
    let stripped = |a: &str, b: &str| {
        a.strip_suffix("less")
            .is_some_and(|x| b.strip_suffix("ful") == Some(x))
    };
    listed(a, b) || reversed(a, b) || reversed(b, a) || stripped(a, b) || stripped(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &str) -> BTreeSet<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn listed_and_prefixed_opposites_face_each_other() {
        for (a, b) in [
            ("safe", "unsafe"),
            ("legal", "illegal"),
            ("possible", "impossible"),
            ("connected", "disconnect"),
            ("useful", "useless"),
            ("enable", "disable"),
            ("with", "without"),
        ] {
            assert!(opposed(&set(a), &set(b)), "{a} {b}");
            assert!(opposed(&set(b), &set(a)), "{b} {a}");
        }
    }

    #[test]
    fn a_side_that_names_both_opposites_is_not_opposed() {
        assert!(!opposed(&set("enable disable"), &set("enable disable")));
        assert!(!opposed(&set("cat dog"), &set("dog")));
    }

    #[test]
    fn no_synonyms_are_opposites() {
        for set in SYNONYMS.split('|') {
            let words: Vec<&str> = set.split_whitespace().collect();
            for a in &words {
                for b in &words {
                    assert!(!are_opposites(a, b), "{a} {b}");
                }
            }
        }
    }
}
