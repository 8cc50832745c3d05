//! Questions of our own about many things, for the cells that ship.

/// Ways to ask, and what is asked about.
#[rustfmt::skip]
const GROUPS: &[(&[&str], &[&str])] = &[
    (&["What is {}?", "How does {} work?", "Why is {} important?", "Who discovered {}?", "What are examples of {}?", "Can you explain {} simply?", "What is the future of {}?", "How is {} measured?"], &[
        "gravity", "evolution", "dark matter", "photosynthesis", "nuclear fusion", "quantum entanglement", "relativity", "the speed of light", "plate tectonics", "DNA", "a vaccine", "entropy",
        "radioactivity", "the periodic table", "electric current", "magnetism", "sound", "climate change", "the ozone layer", "biodiversity", "a black hole", "the solar system", "time travel", "life on Mars",
        "the human brain", "consciousness", "dreaming", "memory", "the immune system", "probability theory", "calculus", "a prime number", "game theory", "statistics", "chemical bonding", "stem cell therapy",
    ]),
    (&["How do I learn {}?", "What is the best book on {}?", "How long does it take to master {}?", "Why does my {} program crash?", "Is {} worth learning?", "What are the disadvantages of {}?", "How do I fix an error in {}?", "Write an example in {}"], &[
        "Python", "Java", "JavaScript", "C++", "Rust", "SQL", "Android development", "iOS development", "web development", "machine learning", "data science", "data structures and algorithms",
        "Linux", "Git", "Docker", "Kubernetes", "Excel", "cloud computing", "ethical hacking", "network security", "React", "PHP", "MATLAB", "game development", "regular expressions", "operating systems",
    ]),
    (&["How do I use {}?", "Why is {} not working?", "How do I delete my {} account?", "How can I recover my {} password?", "Is {} better than its rivals?", "How does {} make money?", "How do I get more followers on {}?", "Can I use {} without a phone number?"], &[
        "Facebook", "Instagram", "WhatsApp", "Gmail", "Google", "YouTube", "Twitter", "Snapchat", "LinkedIn", "Amazon", "Netflix", "Uber", "Wikipedia", "PayPal", "Windows", "an iPhone", "a smart TV", "a wireless router",
        "Skype", "Dropbox", "an online forum", "a question and answer site", "Tinder", "Spotify",
    ]),
    (&["What causes {}?", "How do I get rid of {}?", "What is the best treatment for {}?", "Is {} dangerous?", "What are the symptoms of {}?", "Can {} be cured?", "What should I eat when I have {}?", "How did you overcome {}?"], &[
        "depression", "anxiety", "insomnia", "acne", "hair loss", "dandruff", "back pain", "a headache", "diabetes", "high blood pressure", "cancer", "the flu", "an allergy", "asthma", "obesity", "belly fat", "dark circles",
        "a fever", "a toothache", "stage fright", "procrastination", "loneliness", "smoking", "addiction to pornography", "stammering", "autism", "a broken bone", "a skin rash", "constipation", "an eating disorder",
    ]),
    (&["How can I improve my {}?", "What are tips for better {}?", "How do I become confident in {}?", "Why is my {} so bad?", "How much does {} matter?", "Which habits help with {}?"], &[
        "English", "communication skills", "handwriting", "concentration", "vocabulary", "public speaking", "memory", "self esteem", "writing", "pronunciation", "running speed", "flexibility", "eyesight", "posture", "credit score",
        "time management", "social life", "sense of humour", "typing speed", "chess rating", "singing voice", "sleep", "diet", "muscle growth", "height",
    ]),
    (&["How do I become a {}?", "What does a {} earn?", "What is a day in the life of a {} like?", "Should I become a {}?", "Which degree does a {} need?", "How do I prepare for an interview as a {}?"], &[
        "doctor", "lawyer", "software engineer", "pilot", "teacher", "civil servant", "chartered accountant", "data analyst", "writer", "actor", "police officer", "product manager", "mechanical engineer", "journalist", "nurse", "architect",
        "politician", "professional gamer", "model", "entrepreneur", "investment banker", "translator", "scientist at a space agency", "soldier", "chef", "designer",
    ]),
    (&["Which {} is the best?", "What are some good {}?", "Can you recommend {} for a beginner?", "What are the most underrated {}?", "Where can I find free {}?", "What are your favourite {} and why?"], &[
        "movies", "books", "TV series", "songs", "video games", "laptops under budget", "mobile phones", "headphones", "cameras", "cars", "motorcycles", "universities", "online courses", "restaurants", "jokes", "quotes", "anime", "podcasts",
        "business ideas", "websites", "gifts for a girlfriend", "baby names", "exercises", "recipes with chicken", "vegetarian dishes", "wines", "dog breeds", "horror stories", "science fiction novels", "board games",
    ]),
    (&["What is it like to live in {}?", "What are the best places to visit in {}?", "Is it safe to travel to {}?", "How do I get a visa for {}?", "What is the history of {}?", "How is the economy of {} doing?", "What do people in {} think of Americans?", "How do I find a job in {}?"], &[
        "India", "China", "the United States", "Canada", "Australia", "Germany", "Japan", "Pakistan", "Russia", "London", "New York", "Dubai", "Singapore", "Bangalore", "Delhi", "Mumbai", "Israel", "Brazil", "South Africa", "France", "Italy",
        "Turkey", "Mexico", "North Korea", "Nigeria", "California", "Scotland", "Indonesia", "Iran", "Spain",
    ]),
    (&["Who will win {}?", "What do you think about {}?", "What are the consequences of {}?", "Why do people support {}?", "How will {} affect ordinary people?", "What are arguments against {}?"], &[
        "the presidential election", "Donald Trump's policies", "Hillary Clinton's campaign", "Brexit", "the war in Syria", "demonetisation of bank notes", "gun control", "the death penalty", "abortion", "immigration", "feminism", "free trade",
        "communism", "universal basic income", "nuclear weapons", "caste reservation", "gay marriage", "legal marijuana", "terrorism", "a third world war", "artificial intelligence taking jobs", "racism", "democracy", "the Kashmir dispute",
    ]),
    (&["How do I tell a friend about {}?", "How do I deal with {}?", "Why do people fear {}?", "What should I do after {}?", "Is {} normal?", "What did you learn from {}?"], &[
        "a breakup", "a crush on a coworker", "a cheating husband", "a cheating girlfriend", "falling in love", "a first kiss", "losing my virginity", "marriage", "an arranged marriage", "a divorce", "toxic parents", "a jealous sister",
        "a long distance relationship", "being single", "the death of a parent", "bullying at school", "a rude boss", "an unwanted pregnancy", "raising a child", "having no friends", "a quarrel with my best friend", "sex before marriage", "being an introvert",
    ]),
    (&["How can I invest in {}?", "What is the difference between {} and its alternatives?", "How do I pay tax on {}?", "Is {} a good idea?", "How do I get {} quickly?", "What are the risks of {}?"], &[
        "the stock market", "gold", "bitcoin", "real estate", "mutual funds", "a pension", "a personal loan", "a credit card", "a mortgage", "health insurance", "life insurance", "car insurance", "a startup", "an online shop", "foreign currency",
        "a savings account", "freelance work", "passive income", "a franchise", "money made on the internet",
    ]),
    (&["How do you cook {}?", "Is {} healthy?", "How many calories are in {}?", "What goes well with {}?", "Can dogs eat {}?", "How long can {} be kept in the fridge?"], &[
        "rice", "pasta", "eggs", "chicken breast", "salmon", "potatoes", "lentils", "bread", "pizza", "coffee", "green tea", "chocolate cake", "bananas", "avocado", "milk", "honey", "garlic", "spinach", "beef", "tofu", "beer", "ice cream",
    ]),
    (&["How do I clean {}?", "How do I repair {}?", "How much does {} cost?", "When should I replace {}?", "What is {} made of?", "How was {} invented?"], &[
        "a car engine", "a bicycle", "a washing machine", "a laptop battery", "a leather sofa", "a diesel generator", "an air conditioner", "a swimming pool", "a wooden floor", "a mattress", "a watch", "solar panels", "a house roof", "a refrigerator",
        "a guitar", "a piano", "running shoes", "gold jewellery", "a hard disk", "a drone", "a printer", "a telescope", "a tent", "an aeroplane",
    ]),
    (&["Who was {}?", "Why is {} famous?", "What was the cause of {}?", "What can we learn from {}?", "What would the world be like without {}?", "Summarise {} in three sentences"], &[
        "Albert Einstein", "Mahatma Gandhi", "Adolf Hitler", "Napoleon", "Cleopatra", "the Roman Empire", "the Second World War", "the French Revolution", "the Cold War", "the Renaissance", "Shakespeare", "Hamlet", "Harry Potter", "Game of Thrones",
        "Star Wars", "Batman", "the Bible", "the Quran", "Buddhism", "Hinduism", "Christianity", "Islam", "atheism", "Greek mythology", "Leonardo da Vinci", "Mozart", "the Beatles", "Michael Jackson", "Steve Jobs", "Elon Musk", "Isaac Newton",
    ]),
    (&["What are the rules of {}?", "Who is the best player in {}?", "How do I train for {}?", "How do I get better at {}?", "Why is {} so popular?", "What equipment do I need for {}?"], &[
        "football", "cricket", "basketball", "tennis", "chess", "a marathon", "swimming", "yoga", "boxing", "bodybuilding", "golf", "baseball", "badminton", "karate", "cycling", "skiing", "poker", "Pokémon Go", "the Olympic Games", "dance", "photography", "drawing",
        "meditation", "gardening", "fishing", "hiking",
    ]),
    (&["What is the meaning of {}?", "How do you say {} in Spanish?", "What is a synonym of {}?", "When should I use the phrase {}?", "Translate {} into French", "What is the opposite of {}?"], &[
        "good morning", "happiness", "success", "courage", "irony", "a metaphor", "life", "karma", "trust", "freedom", "thank you", "I love you", "nostalgia", "truth", "justice", "an idiom", "a noun", "the past tense", "respectfully", "whom",
    ]),
    (&["Write a {}", "How do I start a {}?", "Check the grammar of my {}", "What makes a good {}?", "Make this {} shorter", "Give me a template for a {}"], &[
        "cover letter", "poem about autumn", "resignation letter", "birthday wish", "job application", "research paper", "business plan", "short story", "speech for a wedding", "product description", "complaint to a landlord", "meeting summary", "novel",
        "thank you note", "press release", "personal statement", "scientific abstract", "contract", "newsletter", "user manual", "marketing slogan",
    ]),
    (&["Which {} should I choose?", "How do I apply for {}?", "What score do I need for {}?", "How should I prepare for {}?", "What is the deadline for {}?", "Is it too late for {}?"], &[
        "an MBA", "a PhD", "a master's degree in computer science", "medical school", "law school", "an engineering college", "a scholarship", "an entrance examination", "an English language test", "a student visa", "a green card", "an internship",
        "high school", "a driving licence", "a passport", "a bank account", "a government job", "a certification", "a summer camp", "citizenship",
    ]),
    (&["How do I cancel {}?", "Where is {}?", "Why was {} declined?", "Can I get a refund for {}?", "How long does {} take?", "Why was I charged for {}?", "I want to change {}", "There is a problem with {}"], &[
        "my order", "my subscription", "a bank transfer", "my card payment", "my hotel booking", "a flight to Paris", "my delivery", "a cash withdrawal", "my phone contract", "a train ticket", "my insurance claim", "my appointment", "my electricity bill",
        "the meeting tomorrow", "my alarm", "my grocery list",
    ]),
    (&["Why do {} behave like that?", "How long do {} live?", "What do {} eat?", "Are {} dangerous to humans?", "How do {} communicate?", "Could {} go extinct?"], &[
        "cats", "dogs", "elephants", "sharks", "snakes", "bees", "ants", "whales", "parrots", "horses", "wolves", "spiders", "dinosaurs", "mosquitoes", "tigers", "octopuses", "bacteria", "trees", "mushrooms", "aliens",
    ]),
];

/// Every question once, in a fixed order.
pub fn questions() -> Vec<String> {
    let all = GROUPS.iter().flat_map(|(ways, things)| {
        things
            .iter()
            .flat_map(move |thing| ways.iter().map(move |way| way.replace("{}", thing)))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn questions_are_many_and_no_two_alike() {
        let questions = super::questions();
        assert!(questions.len() > 3000, "{}", questions.len());
        assert_eq!(
            questions.iter().collect::<BTreeSet<_>>().len(),
            questions.len()
        );
    }
}
