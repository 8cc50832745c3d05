//! Where a request goes: path → what is asked there.

use http::Method;

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    OpenAi,
    Azure(String),
    Responses,
    Anthropic,
    CountTokens,
    Gemini { model: String, stream: bool },
    Ollama,
    Vectors(Vectors),
    Models,
    OllamaVersion,
    OllamaTags,
}

/// Who asks for vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vectors {
    OpenAi,
    Azure(String),
    Gemini { model: String, batch: bool },
    Ollama,
}

impl Place {
    /// What is at `path`; `None` for nothing.
    pub(super) fn of(method: &Method, path: &str) -> Option<Place> {
        if *method == Method::GET {
            return match path {
                "/v1/models" | "/openai/v1/models" | "/v1beta/models" => Some(Place::Models),
                "/api/version" => Some(Place::OllamaVersion),
                "/api/tags" => Some(Place::OllamaTags),
                _ => None,
            };
        }
        match path {
            "/v1/chat/completions" | "/openai/v1/chat/completions" => Some(Place::OpenAi),
            "/v1/responses" | "/openai/v1/responses" => Some(Place::Responses),
            "/v1/messages" => Some(Place::Anthropic),
            "/v1/messages/count_tokens" => Some(Place::CountTokens),
            "/api/chat" => Some(Place::Ollama),
            "/v1/embeddings" | "/openai/v1/embeddings" => Some(Place::Vectors(Vectors::OpenAi)),
            "/api/embed" => Some(Place::Vectors(Vectors::Ollama)),
            _ => Place::azure(path).or_else(|| Place::gemini(path)),
        }
    }

    fn azure(path: &str) -> Option<Place> {
        let rest = path.strip_prefix("/openai/deployments/")?;
        let (deployment, what) = rest.split_once('/')?;
        let deployment = deployment.to_owned();
        match what {
            "chat/completions" => Some(Place::Azure(deployment)),
            "embeddings" => Some(Place::Vectors(Vectors::Azure(deployment))),
            _ => None,
        }
    }

    fn gemini(path: &str) -> Option<Place> {
        // Google's own client asks under either version
        let version = ["/v1beta/models/", "/v1/models/"];
        let call = version.iter().find_map(|below| path.strip_prefix(below))?;
        let (model, verb) = call.rsplit_once(':')?;
        let model = model.to_owned();
        let vectors = |batch| {
            let model = model.clone();
            Place::Vectors(Vectors::Gemini { model, batch })
        };
        match verb {
            "generateContent" => Some(Place::Gemini {
                model,
                stream: false,
            }),
            "streamGenerateContent" => Some(Place::Gemini {
                model,
                stream: true,
            }),
            "embedContent" => Some(vectors(false)),
            "batchEmbedContents" => Some(vectors(true)),
            _ => None,
        }
    }

    /// It asks a model for something, rather than the server about itself.
    pub(super) fn is_asked(&self) -> bool {
        match self {
            Place::OpenAi
            | Place::Azure(_)
            | Place::Responses
            | Place::Anthropic
            | Place::Gemini { .. }
            | Place::Ollama
            | Place::Vectors(_) => true,
            Place::CountTokens | Place::Models | Place::OllamaVersion | Place::OllamaTags => false,
        }
    }

    /// The dialect wants a credential whether or not one was set.
    pub(super) fn wants_key(&self) -> bool {
        match self {
            Place::Azure(_)
            | Place::Anthropic
            | Place::CountTokens
            | Place::Gemini { .. }
            | Place::Vectors(Vectors::Azure(_) | Vectors::Gemini { .. }) => true,
            Place::OpenAi
            | Place::Responses
            | Place::Ollama
            | Place::Vectors(Vectors::OpenAi | Vectors::Ollama)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => false,
        }
    }

    /// Headers that may carry the credential, `authorization: Bearer` aside.
    pub(super) fn key_header(&self) -> &'static str {
        match self {
            Place::Azure(_) | Place::Vectors(Vectors::Azure(_)) => "api-key",
            Place::Gemini { .. } | Place::Vectors(Vectors::Gemini { .. }) => "x-goog-api-key",
            Place::Anthropic | Place::CountTokens => "x-api-key",
            Place::OpenAi
            | Place::Responses
            | Place::Ollama
            | Place::Vectors(Vectors::OpenAi | Vectors::Ollama)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => "authorization",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_names_in_them_are_read() {
        let post = |path: &str| Place::of(&Method::POST, path);
        assert_eq!(
            post("/openai/deployments/gpt-4o/chat/completions"),
            Some(Place::Azure("gpt-4o".to_owned()))
        );
        assert_eq!(
            post("/v1beta/models/tuned:x:streamGenerateContent"),
            Some(Place::Gemini {
                model: "tuned:x".to_owned(),
                stream: true
            })
        );
        assert_eq!(
            post("/v1/models/m:generateContent"),
            post("/v1beta/models/m:generateContent")
        );
        assert_eq!(post("/v1beta/models/m:nothing"), None);
        assert_eq!(Place::of(&Method::GET, "/v1/messages"), None);
    }
}
