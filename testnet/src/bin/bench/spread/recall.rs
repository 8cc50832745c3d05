//! The nearest entry a look-up finds beside the nearest of all, by looking at all of them.

use std::collections::HashMap;

use anyhow::Context as _;
use llm_router::cache::embed::Embedder;
use llm_router_testnet::node;
use llm_router_testnet::placement::recall::exact;
use llm_router_testnet::placement::texts::{Vectors, embed};
use serde_json::json;
use tokio::task::JoinSet;

use super::board::Board;
use super::fleet::Fleet;
use super::stream::share;
use super::texts::Texts;

/// Vectors lose a little where they are kept in half precision, and rows of an index more.
const TIE: f32 = 0.001;
/// Embedding workers of this process; the nodes rest meanwhile.
const WORKERS: usize = 2;
/// Questions at once.
const AT_ONCE: usize = 2;

/// Knows the vector of every text.
pub(super) struct Judge {
    places: HashMap<String, usize>,
    vectors: Vectors,
    asked: Vec<String>,
}

impl Judge {
    /// Embeds all texts once.
    ///
    /// # Errors
    /// Without weights.
    pub(super) async fn load(texts: &Texts) -> anyhow::Result<Self> {
        let folder = node::weights().context("no weights; run: llm-router model pull")?;
        let embedder = Embedder::load(&folder, WORKERS)?;
        let all: Vec<String> = texts.stored.iter().chain(&texts.asked).cloned().collect();
        let vectors = embed(&embedder, &all).await?;
        anyhow::ensure!(vectors.count() == all.len(), "a text is too long to embed");
        let places = all.into_iter().enumerate();
        Ok(Judge {
            places: places.map(|(place, text)| (text, place)).collect(),
            vectors,
            asked: texts.asked.clone(),
        })
    }

    /// Looks every question up, through one node after the other.
    ///
    /// # Errors
    /// When a node does not answer.
    pub(super) async fn ask(
        &self,
        fleet: &Fleet,
        n: usize,
        stored: &[String],
        board: &mut Board,
    ) -> anyhow::Result<()> {
        let entries = self.rows(stored);
        let nearest = exact(&entries, &self.rows(&self.asked));
        let near: Vec<(String, f32)> = self
            .asked
            .iter()
            .zip(nearest)
            .filter(|(_, nearest)| nearest.similarity >= 0.80)
            .map(|(text, nearest)| (text.clone(), nearest.similarity))
            .collect();
        let found = look(fleet, &near).await?;
        for (name, goal, from, to) in [
            ("recall@1 at cosine 0.92 and up", Some(0.99), 0.92, 1.1),
            ("recall@1 at cosine 0.80 to 0.92", None, 0.80, 0.92),
        ] {
            let band = near.iter().zip(&found);
            let band = band.filter(|((_, best), _)| (from..to).contains(best));
            let (mut right, mut all) = (0, 0);
            for ((_, best), found) in band {
                all += 1;
                right += u64::from(*found >= best - TIE);
            }
            let recall = share(right, all);
            let shown = format!("{recall:.4} of {all}");
            match goal {
                Some(goal) => board.hold(n, (name, ">= 0.99"), shown, recall >= goal),
                None => board.tell(n, name, shown),
            }
        }
        Ok(())
    }

    fn rows(&self, texts: &[String]) -> Vectors {
        let places: Vec<usize> = texts
            .iter()
            .filter_map(|text| self.places.get(text).copied())
            .collect();
        self.vectors.only(&places)
    }
}

/// The cosine of the nearest entry each look-up found; 0 where it found none.
async fn look(fleet: &Fleet, questions: &[(String, f32)]) -> anyhow::Result<Vec<f32>> {
    let nodes: Vec<_> = fleet.cluster.running();
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE {
        let doors: Vec<_> = nodes
            .iter()
            .map(|&id| fleet.cluster.http(id).clone())
            .collect();
        let mine: Vec<(usize, String)> = (0..)
            .zip(questions.iter().map(|(text, _)| text.clone()))
            .skip(client)
            .step_by(AT_ONCE)
            .collect();
        clients.spawn(async move {
            let mut found = Vec::with_capacity(mine.len());
            for (place, text) in mine {
                let door = &doors[place / AT_ONCE % doors.len()];
                let told = door
                    .post("/admin/v1/cache/lookup", &json!({ "a": text }))
                    .await?;
                anyhow::ensure!(told.status == 200, "{}", told.text());
                let similarity = told.json()["candidates"][0]["similarity"].as_f64();
                found.push((place, similarity.unwrap_or(0.0)));
            }
            anyhow::Ok(found)
        });
    }
    let mut all = vec![0.0; questions.len()];
    while let Some(found) = clients.join_next().await {
        for (place, similarity) in found?? {
            all[place] = narrow(similarity);
        }
    }
    Ok(all)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cosine, not exact to begin with"
)]
fn narrow(similarity: f64) -> f32 {
    similarity as f32
}
