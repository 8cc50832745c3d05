//! Starting points for a configuration: commented files that work as they are.

/// A starting point.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// The commented YAML.
    pub text: &'static str,
}

macro_rules! preset {
    ($name:literal, $about:literal) => {
        Preset {
            name: $name,
            about: $about,
            text: include_str!(concat!("presets/", $name, ".yaml")),
        }
    };
}

/// All of them, the one that needs nothing first.
pub const PRESETS: [Preset; 9] = [
    preset!("demo", "built-in models only: no network, no key"),
    preset!("local", "Ollama on this machine, nothing leaves it"),
    preset!("local-first", "Ollama first, OpenAI when it fails"),
    preset!(
        "openai",
        "one provider, with a smaller model to fall back on"
    ),
    preset!("anthropic", "Claude, for clients of any dialect"),
    preset!("gemini", "Gemini through its own API"),
    preset!("azure", "OpenAI's models on Azure"),
    preset!(
        "failover",
        "three upstreams behind two names, tried in turn"
    ),
    preset!(
        "cost-saver",
        "cheap by default, strong when asked for, cache on"
    ),
];

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
