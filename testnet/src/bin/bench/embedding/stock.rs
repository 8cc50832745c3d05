//! The model out of candle's own operations, step by step as `candle-transformers` has it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use candle_core::{D, Device, Tensor};
use llm_router::cache::embed::Vector;

const LAYERS: usize = 6;
const HEADS: usize = 12;
const HEAD: usize = 32;
const EPSILON: f64 = 1e-12;

/// See the module.
pub(super) struct Bert(HashMap<String, Tensor>);

impl Bert {
    pub(super) fn load(folder: &Path) -> anyhow::Result<Bert> {
        let file = folder.join("model.safetensors");
        Ok(Bert(candle_core::safetensors::load(file, &Device::Cpu)?))
    }

    /// The vector of the first of some texts of one length.
    pub(super) fn forward(&self, batch: &[Vec<u32>]) -> anyhow::Result<Vector> {
        let (texts, tokens) = (batch.len(), batch.first().context("no text")?.len());
        let ids = Tensor::from_vec(batch.concat(), (texts, tokens), &Device::Cpu)?;
        let words = self.get("embeddings.word_embeddings.weight")?;
        let words = words.index_select(&ids.flatten_all()?, 0)?;
        let words = words.reshape((texts, tokens, HEADS * HEAD))?;
        let kind = self
            .get("embeddings.token_type_embeddings.weight")?
            .narrow(0, 0, 1)?;
        let places = self
            .get("embeddings.position_embeddings.weight")?
            .narrow(0, 0, tokens)?;
        let x = words.broadcast_add(&kind)?.broadcast_add(&places)?;
        let mut x = self.norm("embeddings.LayerNorm", &x)?;
        for layer in 0..LAYERS {
            let at = format!("encoder.layer.{layer}");
            let context = self.attention(&at, &x)?;
            let out = self.dense(&format!("{at}.attention.output.dense"), &context)?;
            x = self.norm(&format!("{at}.attention.output.LayerNorm"), &(out + &x)?)?;
            let wide = self
                .dense(&format!("{at}.intermediate.dense"), &x)?
                .gelu_erf()?;
            let out = self.dense(&format!("{at}.output.dense"), &wide)?;
            x = self.norm(&format!("{at}.output.LayerNorm"), &(out + &x)?)?;
        }
        let first = x.mean(1)?.get(0)?.to_vec1()?;
        Vector::new(first).context("candle gave no vector")
    }

    fn attention(&self, at: &str, x: &Tensor) -> anyhow::Result<Tensor> {
        let (texts, tokens, width) = x.dims3()?;
        let part = |name: &str| -> anyhow::Result<Tensor> {
            let part = self.dense(&format!("{at}.attention.self.{name}"), x)?;
            let part = part.reshape((texts, tokens, HEADS, HEAD))?;
            Ok(part.transpose(1, 2)?.contiguous()?)
        };
        let (query, key, value) = (part("query")?, part("key")?, part("value")?);
        let scores = (query.matmul(&key.t()?)? / 32_f64.sqrt())?;
        let scores = scores
            .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
            .exp()?;
        let shares = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
        let context = shares.matmul(&value)?.transpose(1, 2)?.contiguous()?;
        Ok(context.reshape((texts, tokens, width))?)
    }

    fn dense(&self, name: &str, x: &Tensor) -> anyhow::Result<Tensor> {
        let (texts, tokens, width) = x.dims3()?;
        let weight = self.get(&format!("{name}.weight"))?.t()?;
        let bias = self.get(&format!("{name}.bias"))?;
        let out = x.reshape((texts * tokens, width))?.matmul(&weight)?;
        Ok(out.broadcast_add(bias)?.reshape((texts, tokens, ()))?)
    }

    fn norm(&self, name: &str, x: &Tensor) -> anyhow::Result<Tensor> {
        let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let spread = (x.sqr()?.mean_keepdim(D::Minus1)? + EPSILON)?.sqrt()?;
        let x = x.broadcast_div(&spread)?;
        let x = x.broadcast_mul(self.get(&format!("{name}.weight"))?)?;
        Ok(x.broadcast_add(self.get(&format!("{name}.bias"))?)?)
    }

    fn get(&self, name: &str) -> anyhow::Result<&Tensor> {
        self.0
            .get(name)
            .with_context(|| format!("no tensor {name}"))
    }
}
