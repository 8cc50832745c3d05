//! From the safetensors file, read by candle, to weights in the kernel's order.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use candle_core::safetensors::BufferedSafetensors;
use candle_core::{DType, Device};

use super::dense::{Dense, Precision};
use super::norm::Norm;
use super::words::Words;
use super::{Bert, Layer};
use crate::cache::embed::shape::Shape;

/// The end of the first tensor's name; what stands before it stands before all names.
const FIRST: &str = "embeddings.word_embeddings.weight";

/// The weights file cannot be used as this model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Candle could not read the file or a tensor in it.
    #[error("cannot read the embedder's weights")]
    Unreadable(#[source] Box<candle_core::Error>),
    /// A tensor is not there.
    #[error("tensor {0} is missing from the embedder's weights")]
    Missing(String),
    /// A tensor has another shape than this model's.
    #[error("tensor {name} has shape {found:?} instead of {expected:?}")]
    Shape {
        /// Which.
        name: String,
        /// In the file.
        found: Vec<usize>,
        /// In the model.
        expected: Vec<usize>,
    },
    /// A tensor holds infinities or no numbers at all.
    #[error("tensor {0} has a number that is not finite")]
    NotFinite(String),
    /// A file that describes the model cannot be read.
    #[error("cannot use {}", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The model is of a kind that this engine does not run.
    #[error("the model has {0}")]
    Unsupported(String),
}

impl ModelError {
    pub(in crate::cache::embed) fn config(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ModelError {
        ModelError::Config {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        ModelError::Unreadable(Box::new(error))
    }
}

impl Bert {
    /// Reads and packs the weights. Of all-MiniLM-L6-v2's 91 MB, as much stays in memory as floats,
    /// 23 MB as bytes.
    pub(in crate::cache::embed) fn load(
        file: &Path,
        shape: &Shape,
        precision: Precision,
    ) -> Result<Bert, ModelError> {
        let bytes = std::fs::read(file).map_err(candle_core::Error::from)?;
        let file = BufferedSafetensors::new(bytes)?;
        let names: Vec<String> = file.tensors().into_iter().map(|(name, _)| name).collect();
        let prefix = names.iter().find_map(|name| name.strip_suffix(FIRST));
        let source = Source {
            prefix: prefix.unwrap_or_default().to_owned(),
            names: names.iter().map(String::as_str).collect(),
            file: &file,
            shape,
            precision,
        };
        let words = source.take(FIRST, &[shape.words, shape.hidden])?;
        Ok(Bert {
            words: Words::pack(precision, words, shape.hidden),
            positions: source.positions()?,
            norm: source.norm("embeddings.LayerNorm")?,
            layers: (0..shape.layers)
                .map(|number| source.layer(number))
                .collect::<Result<_, _>>()?,
            shape: shape.clone(),
        })
    }
}

/// The file in memory; every tensor is read and packed before the next, so that little is needed
/// besides.
struct Source<'a> {
    file: &'a BufferedSafetensors,
    names: HashSet<&'a str>,
    /// Before every name: a file may hold the model as a part of another.
    prefix: String,
    shape: &'a Shape,
    precision: Precision,
}

impl Source<'_> {
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let full = format!("{}{name}", self.prefix);
        if !self.names.contains(full.as_str()) {
            return Err(ModelError::Missing(name.to_owned()));
        }
        let tensor = self.file.load(&full, &Device::Cpu)?;
        if tensor.dims() != shape {
            let (found, expected) = (tensor.dims().to_vec(), shape.to_vec());
            return Err(ModelError::Shape {
                name: name.to_owned(),
                found,
                expected,
            });
        }
        let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(ModelError::NotFinite(name.to_owned()))
        }
    }

    /// One row per position of a text, the only token type added in.
    fn positions(&self) -> Result<Vec<f32>, ModelError> {
        let Shape {
            hidden,
            positions,
            first_position,
            kinds,
            longest,
            ..
        } = *self.shape;
        let table = self.take(
            "embeddings.position_embeddings.weight",
            &[positions, hidden],
        )?;
        let kind = match kinds {
            0 => vec![0.0; hidden],
            _ => self.take("embeddings.token_type_embeddings.weight", &[kinds, hidden])?,
        };
        let rows = table
            .chunks_exact(hidden)
            .skip(first_position)
            .take(longest);
        let sums = rows.flat_map(|row| row.iter().zip(&kind).map(|(value, kind)| value + kind));
        Ok(sums.collect())
    }

    fn norm(&self, name: &str) -> Result<Norm, ModelError> {
        Ok(Norm {
            scale: self.take(&format!("{name}.weight"), &[self.shape.hidden])?,
            shift: self.take(&format!("{name}.bias"), &[self.shape.hidden])?,
            epsilon: self.shape.epsilon,
        })
    }

    /// Weights, one row per output, and bias.
    fn dense(
        &self,
        name: &str,
        depth: usize,
        outputs: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        Ok((
            self.take(&format!("{name}.weight"), &[outputs, depth])?,
            self.take(&format!("{name}.bias"), &[outputs])?,
        ))
    }

    fn linear(&self, name: &str, depth: usize, outputs: usize) -> Result<Dense, ModelError> {
        let (weights, bias) = self.dense(name, depth, outputs)?;
        Ok(Dense::pack(self.precision, &weights, &bias, depth))
    }

    fn layer(&self, number: usize) -> Result<Layer, ModelError> {
        let at = format!("encoder.layer.{number}");
        let Shape { hidden, wide, .. } = *self.shape;
        Ok(Layer {
            qkv: self.qkv(&format!("{at}.attention.self"))?,
            attended: self.linear(&format!("{at}.attention.output.dense"), hidden, hidden)?,
            attended_norm: self.norm(&format!("{at}.attention.output.LayerNorm"))?,
            widen: self.linear(&format!("{at}.intermediate.dense"), hidden, wide)?,
            narrow: self.linear(&format!("{at}.output.dense"), wide, hidden)?,
            norm: self.norm(&format!("{at}.output.LayerNorm"))?,
        })
    }

    fn qkv(&self, at: &str) -> Result<Dense, ModelError> {
        let hidden = self.shape.hidden;
        let (mut weights, mut bias) = self.dense(&format!("{at}.query"), hidden, hidden)?;
        #[expect(clippy::cast_precision_loss, reason = "exact: a few hundred at most")]
        let scale = 1.0 / (self.shape.head() as f32).sqrt();
        for value in weights.iter_mut().chain(&mut bias) {
            *value *= scale;
        }
        for part in ["key", "value"] {
            let (more, more_bias) = self.dense(&format!("{at}.{part}"), hidden, hidden)?;
            weights.extend(more);
            bias.extend(more_bias);
        }
        Ok(Dense::pack(self.precision, &weights, &bias, hidden))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Tensor;

    use super::*;

    fn load(tensors: &HashMap<String, Tensor>) -> Result<Bert, ModelError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        candle_core::safetensors::save(tensors, file.path()).unwrap();
        Bert::load(file.path(), &Shape::MINI_LM, Precision::F32)
    }

    #[test]
    fn a_file_that_is_no_safetensors_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"not a tensor in sight").unwrap();
        assert!(matches!(
            Bert::load(file.path(), &Shape::MINI_LM, Precision::F32),
            Err(ModelError::Unreadable(_))
        ));
    }

    #[test]
    fn a_tensor_of_another_shape_or_name_is_refused_by_name() {
        let tensor = Tensor::zeros((2, 8), DType::F32, &Device::Cpu).unwrap();
        let error = load(&HashMap::from([(format!("bert.{FIRST}"), tensor)]));
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains(FIRST) && message.contains("[2, 8]"),
            "{message}"
        );
        let error = load(&HashMap::new()).unwrap_err();
        assert!(matches!(error, ModelError::Missing(missing) if missing == FIRST));
    }

    #[test]
    fn a_tensor_that_is_not_finite_is_refused_by_name() {
        let Shape { words, hidden, .. } = Shape::MINI_LM;
        let mut values = vec![0.0_f32; words * hidden];
        values[77] = f32::NAN;
        let tensor = Tensor::from_vec(values, (words, hidden), &Device::Cpu).unwrap();
        let error = load(&HashMap::from([(FIRST.to_owned(), tensor)])).unwrap_err();
        assert!(matches!(error, ModelError::NotFinite(name) if name == FIRST));
    }
}
