//! The words the rules are made of; one row is one thing to say.

/// Verbs that mean the same; the first of another row is another act.
#[rustfmt::skip]
pub(super) const ACTS: &[(&[&str], &[&str])] = &[
    (&["learn", "study", "get good at"], &["guitar", "piano", "chess", "Spanish", "French", "algebra", "calligraphy", "juggling"]),
    (&["repair", "fix", "mend"], &["a flat tyre", "a broken zip", "a leaking tap", "a cracked screen", "a squeaky door", "a torn jacket"]),
    (&["buy", "purchase"], &["a house", "a used car", "a sailing boat", "concert tickets", "a diamond ring", "bitcoin"]),
    (&["sell", "find a buyer for"], &["a house", "a used car", "a sailing boat", "concert tickets", "a diamond ring", "bitcoin"]),
    (&["get rid of", "remove", "eliminate"], &["acne", "dark circles", "ants", "mosquitoes", "a wine stain", "rust", "mould", "wallpaper"]),
    (&["cook", "prepare", "make"], &["lasagne", "fried rice", "chicken soup", "pancakes", "mushroom risotto", "lentil curry"]),
    (&["freeze", "deep-freeze"], &["lasagne", "fried rice", "chicken soup", "pancakes", "mushroom risotto", "lentil curry"]),
    (&["grow", "raise", "cultivate"], &["tomatoes", "basil", "orchids", "strawberries", "potatoes", "roses"]),
    (&["overcome", "get over", "conquer"], &["stage fright", "a breakup", "procrastination", "fear of heights", "shyness", "burnout"]),
    (&["improve", "boost", "better"], &["my memory", "my handwriting", "my posture", "my credit score", "my vocabulary", "my eyesight"]),
    (&["delete", "erase", "close"], &["a Facebook account", "an Instagram account", "a bank account", "an Amazon account"]),
    (&["create", "open", "set up"], &["a Facebook account", "an Instagram account", "a bank account", "an Amazon account"]),
    (&["train", "teach"], &["a puppy", "a parrot", "a horse", "a kitten", "a neural network"]),
    (&["become", "start a career as"], &["a pilot", "a nurse", "an actor", "a data scientist", "an astronaut", "a chef"]),
    (&["clean", "wash"], &["a cast iron pan", "white shoes", "a keyboard", "a down jacket", "car seats", "a fish tank"]),
    (&["install", "set up"], &["Ubuntu", "Docker", "PostgreSQL", "Photoshop", "a dishwasher", "solar panels"]),
    (&["uninstall", "get rid of"], &["Ubuntu", "Docker", "PostgreSQL", "Photoshop", "a dishwasher", "solar panels"]),
    (&["lose", "shed"], &["belly fat", "weight", "water weight", "face fat"]),
    (&["gain", "put on"], &["muscle", "weight", "confidence", "subscribers"]),
    (&["invest in", "put money into"], &["gold", "real estate", "mutual funds", "government bonds", "an index fund"]),
    (&["prepare for", "get ready for"], &["a job interview", "a marathon", "an earthquake", "the bar exam", "surgery", "retirement"]),
    (&["stop", "quit", "give up"], &["smoking", "biting my nails", "overthinking", "drinking coffee", "snoring", "gambling"]),
    (&["start", "begin", "take up"], &["smoking", "running", "meditating", "drinking coffee", "blogging", "gambling"]),
    (&["write", "compose"], &["a cover letter", "a love song", "a business plan", "a haiku", "a resignation letter"]),
    (&["convert", "change"], &["a PDF to Word", "Word to a PDF", "euros to dollars", "dollars to euros", "miles to kilometres", "kilometres to miles"]),
    (&["reset", "restore"], &["a forgotten password", "an iPhone", "a router", "a smart TV", "a bike computer"]),
    (&["treat", "cure", "heal"], &["a cold", "a sunburn", "a migraine", "back pain", "an ear infection", "a hangover"]),
];
#[rustfmt::skip]
pub(super) const HOW: &[&str] = &[
    "How do I {}?", "How can I {}?", "What is the best way to {}?", "How to {}?", "What's the best way to {}?", "How should I {}?",
    "How do you {}?", "How can one {}?", "What are some ways to {}?", "Tell me how to {}", "Can you tell me how to {}?", "What are the best ways to {}?",
    "What is a good way to {}?", "Please explain how to {}", "how do i {}", "How does one {}?", "What should I do to {}?", "Which is the best way to {}?",
];
#[rustfmt::skip]
pub(super) const SCOPES: &[&str] = &[
    "at home", "for free", "in a week", "in winter", "without any tools", "on a budget", "as a beginner", "in India", "in Germany", "online", "quickly",
    "before an exam", "during pregnancy", "in 10 days", "in 30 days", "naturally", "for children", "with a full-time job", "after 40", "after 60", "in Python", "in Java",
];
/// Things, with a sibling that an embedding takes for nearly the same.
#[rustfmt::skip]
pub(super) const THINGS: &[(&str, &str)] = &[
    ("photosynthesis", "respiration"), ("inflation", "deflation"), ("a black hole", "a neutron star"), ("machine learning", "deep learning"), ("a virus", "a bacterium"),
    ("the Big Bang theory", "string theory"), ("quantum computing", "quantum mechanics"), ("a mortgage", "a lease"), ("meiosis", "mitosis"), ("osmosis", "diffusion"),
    ("socialism", "communism"), ("an atom", "a molecule"), ("velocity", "acceleration"), ("a comet", "an asteroid"), ("weather", "climate"), ("a stroke", "a heart attack"),
    ("type 1 diabetes", "type 2 diabetes"), ("HTTP", "HTTPS"), ("TCP", "UDP"), ("SQL", "NoSQL"), ("Java", "JavaScript"), ("RAM", "ROM"), ("a compiler", "an interpreter"),
    ("an alligator", "a crocodile"), ("affect", "effect"), ("jam", "jelly"), ("a CEO", "a CFO"), ("the Senate", "the House of Representatives"), ("a hurricane", "a tornado"),
    ("Python", "Ruby"), ("blockchain", "bitcoin"), ("stress", "anxiety"), ("green tea", "black tea"), ("yoga", "pilates"), ("cognitive dissonance", "cognitive bias"),
    ("a stock", "a bond"), ("gross income", "net income"), ("Karma", "Dharma"), ("an API", "an SDK"), ("cloud computing", "edge computing"), ("a monarchy", "a republic"),
];
#[rustfmt::skip]
pub(super) const DEFINE: &[&str] = &[
    "What is {}?", "Explain {}", "Can you explain {}?", "What does {} mean?", "Define {}", "Tell me about {}", "What is meant by {}?", "What exactly is {}?",
    "What's {}?", "Explain the concept of {}", "How would you define {}?", "what is {}", "Describe {}", "What is the meaning of {}?",
];
/// Asked about one thing, in wordings that keep the answer; rows differ from each other.
#[rustfmt::skip]
pub(super) const ASPECTS: &[&[&str]] = &[
    &["What are the benefits of {}?", "What are the advantages of {}?", "Why is {} good for you?", "What benefits does {} have?", "What is good about {}?"],
    &["What are the disadvantages of {}?", "What are the drawbacks of {}?", "What is bad about {}?", "What are the downsides of {}?"],
    &["How does {} work?", "Explain how {} works", "Can you explain how {} works?", "What is the way {} works?", "How exactly does {} work?"],
    &["Who invented {}?", "Who is the inventor of {}?", "Who came up with {}?", "By whom was {} invented?"],
    &["When was {} invented?", "In which year was {} invented?", "What year was {} invented?"],
    &["What causes {}?", "What is the cause of {}?", "Why does {} happen?", "What are the causes of {}?"],
    &["How can {} be prevented?", "How do you prevent {}?", "What prevents {}?", "What is the best way to prevent {}?"],
    &["What is the history of {}?", "Tell me the history of {}", "How did {} come about?"],
    &["Is {} dangerous?", "How dangerous is {}?", "Can {} be dangerous?"],
    &["Is {} safe?", "How safe is {}?", "Is it true that {} is safe?"],
    &["Why is {} important?", "What makes {} important?", "What is the importance of {}?", "Why does {} matter?"],
    &["What is an example of {}?", "Give me an example of {}", "Can you give an example of {}?", "What are examples of {}?"],
    &["What is the price of {}?", "How much does {} cost?", "What does {} cost?"],
    &["Where can I find {}?", "Where do you find {}?", "In what places is {} found?"],
    &["What are the best books about {}?", "Which books about {} are the best?", "What is the best book on {}?", "Which book is best for {}?"],
    &["What are the best movies about {}?", "Which movies about {} are the best?", "What is the best film about {}?"],
];
#[rustfmt::skip]
pub(super) const COMPARED: &[&str] = &[
    "What is the difference between {a} and {b}?", "What are the differences between {a} and {b}?", "How does {a} differ from {b}?", "What's the difference between {a} and {b}?",
    "How is {a} different from {b}?", "Explain the difference between {a} and {b}", "What is the difference between {b} and {a}?", "How are {a} and {b} different?",
];
#[rustfmt::skip]
pub(super) const DIRECTED: &[(&str, &[(&str, &str)])] = &[
    ("Can {a} eat {b}?", &[("cats", "mice"), ("lions", "hyenas"), ("sharks", "dolphins"), ("spiders", "wasps")]),
    ("Why do {a} hate {b}?", &[("cats", "dogs"), ("teachers", "students"), ("doctors", "lawyers"), ("parents", "teenagers")]),
    ("How do {a} help {b}?", &[("bees", "flowers"), ("nurses", "doctors"), ("parents", "teachers"), ("fungi", "trees")]),
    ("Is {a} better than {b}?", &[("an iPhone", "a Pixel"), ("coffee", "tea"), ("Java", "Go"), ("renting", "buying"), ("running", "cycling")]),
    ("How do I get from {a} to {b}?", &[("Paris", "Lyon"), ("Delhi", "Agra"), ("London", "Leeds"), ("Boston", "New York")]),
    ("Did {a} influence {b}?", &[("Plato", "Kant"), ("Bach", "Mozart"), ("Dante", "Milton"), ("Greece", "Rome")]),
    ("Does {a} cause {b}?", &[("stress", "insomnia"), ("poverty", "crime"), ("anxiety", "depression"), ("obesity", "diabetes")]),
    ("The {a} praised the {b} before the meeting began", &[("teacher", "student"), ("mayor", "engineer"), ("singer", "drummer"), ("lawyer", "judge")]),
    ("{a} was founded by settlers who came from {b}", &[("Boston", "Salem"), ("Riga", "Bremen"), ("Syracuse", "Corinth"), ("Odessa", "Varna")]),
    ("In the film {a} plays the brother of {b}", &[("Grant", "Cooper"), ("Stewart", "Kelly"), ("Brando", "Clift"), ("Nolte", "Hurt")]),
];
#[rustfmt::skip]
pub(super) const FRAMES: &[&str] = &["{}", "{}", "{}", "Please tell me: {}", "I want to know: {}", "Quick question. {}", "{} Thanks!"];
