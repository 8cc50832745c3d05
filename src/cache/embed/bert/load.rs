//! From the safetensors file, read by candle, to weights in the kernel's order.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::kernel::{Line, WIDTH};
use super::norm::Norm;
use super::{Bert, HEAD, HIDDEN, LAYERS, Layer, Linear, MAX_TOKENS, VOCABULARY, WIDE};

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
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        ModelError::Unreadable(Box::new(error))
    }
}

impl Bert {
    /// Reads and packs the weights: 91 MB from the file, as much kept in memory.
    pub(in crate::cache::embed) fn load(file: &Path) -> Result<Bert, ModelError> {
        Bert::from_tensors(&mut Tensors(candle_core::safetensors::load(
            file,
            &Device::Cpu,
        )?))
    }

    fn from_tensors(tensors: &mut Tensors) -> Result<Bert, ModelError> {
        let kind = tensors.take("embeddings.token_type_embeddings.weight", &[2, HIDDEN])?;
        let mut positions =
            tensors.take("embeddings.position_embeddings.weight", &[512, HIDDEN])?;
        positions.truncate(MAX_TOKENS * HIDDEN);
        for position in positions.chunks_exact_mut(HIDDEN) {
            for (value, kind) in position.iter_mut().zip(&kind) {
                *value += kind;
            }
        }
        Ok(Bert {
            words: tensors.take("embeddings.word_embeddings.weight", &[VOCABULARY, HIDDEN])?,
            positions,
            norm: tensors.norm("embeddings.LayerNorm")?,
            layers: (0..LAYERS)
                .map(|number| tensors.layer(number))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// What candle read; every tensor is taken out once.
struct Tensors(HashMap<String, Tensor>);

impl Tensors {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let Some(tensor) = self.0.remove(name) else {
            return Err(ModelError::Missing(name.to_owned()));
        };
        if tensor.dims() != shape {
            let (found, expected) = (tensor.dims().to_vec(), shape.to_vec());
            return Err(ModelError::Shape {
                name: name.to_owned(),
                found,
                expected,
            });
        }
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    fn norm(&mut self, name: &str) -> Result<Norm, ModelError> {
        Ok(Norm {
            scale: self.take(&format!("{name}.weight"), &[HIDDEN])?,
            shift: self.take(&format!("{name}.bias"), &[HIDDEN])?,
        })
    }

    /// Weights, one row per output, and bias.
    fn dense(
        &mut self,
        name: &str,
        depth: usize,
        outputs: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        Ok((
            self.take(&format!("{name}.weight"), &[outputs, depth])?,
            self.take(&format!("{name}.bias"), &[outputs])?,
        ))
    }

    fn linear(&mut self, name: &str, depth: usize, outputs: usize) -> Result<Linear, ModelError> {
        let (weights, bias) = self.dense(name, depth, outputs)?;
        Ok(Linear::pack(&weights, &bias, depth))
    }

    fn layer(&mut self, number: usize) -> Result<Layer, ModelError> {
        let at = format!("encoder.layer.{number}");
        Ok(Layer {
            qkv: self.qkv(&format!("{at}.attention.self"))?,
            attended: self.linear(&format!("{at}.attention.output.dense"), HIDDEN, HIDDEN)?,
            attended_norm: self.norm(&format!("{at}.attention.output.LayerNorm"))?,
            widen: self.linear(&format!("{at}.intermediate.dense"), HIDDEN, WIDE)?,
            narrow: self.linear(&format!("{at}.output.dense"), WIDE, HIDDEN)?,
            norm: self.norm(&format!("{at}.output.LayerNorm"))?,
        })
    }

    fn qkv(&mut self, at: &str) -> Result<Linear, ModelError> {
        let (mut weights, mut bias) = self.dense(&format!("{at}.query"), HIDDEN, HIDDEN)?;
        #[expect(clippy::cast_precision_loss, reason = "32 is exact in f32")]
        let scale = 1.0 / (HEAD as f32).sqrt();
        for value in weights.iter_mut().chain(&mut bias) {
            *value *= scale;
        }
        for part in ["key", "value"] {
            let (more, more_bias) = self.dense(&format!("{at}.{part}"), HIDDEN, HIDDEN)?;
            weights.extend(more);
            bias.extend(more_bias);
        }
        Ok(Linear::pack(&weights, &bias, HIDDEN))
    }
}

impl Linear {
    /// `weights` has one row of `depth` per output; outputs are a multiple of the panel's width.
    fn pack(weights: &[f32], bias: &[f32], depth: usize) -> Linear {
        let mut lines = Vec::with_capacity(weights.len() / WIDTH);
        for panel in weights.chunks_exact(depth * WIDTH) {
            lines
                .extend((0..depth).map(|input| {
                    Line(std::array::from_fn(|output| panel[output * depth + input]))
                }));
        }
        let bias = bias
            .as_chunks::<WIDTH>()
            .0
            .iter()
            .map(|chunk| Line(*chunk))
            .collect();
        Linear { lines, bias, depth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_safetensors_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"not a tensor in sight").unwrap();
        assert!(matches!(
            Bert::load(file.path()),
            Err(ModelError::Unreadable(_))
        ));
    }

    #[test]
    fn a_tensor_of_another_shape_or_name_is_refused_by_name() {
        let name = "embeddings.token_type_embeddings.weight".to_owned();
        let tensor = Tensor::zeros((2, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = Bert::from_tensors(&mut Tensors(HashMap::from([(name.clone(), tensor)])));
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains(&name) && message.contains("[2, 8]"),
            "{message}"
        );
        let error = Bert::from_tensors(&mut Tensors(HashMap::new())).unwrap_err();
        assert!(matches!(error, ModelError::Missing(missing) if missing == name));
    }

    #[test]
    fn packing_puts_one_input_of_sixteen_outputs_on_a_line() {
        let weights: Vec<f32> = (0..32 * 3)
            .map(|i| f32::from(u8::try_from(i).unwrap()))
            .collect();
        let linear = Linear::pack(&weights, &[0.5; 32], 3);
        assert_eq!(linear.lines.len(), 6);
        assert_eq!(linear.bias.len(), 2);
        // Panel 1 holds outputs 16 to 31; its line 2 holds input 2 of each.
        let expected: Vec<f32> = (16..32_u8)
            .map(|output| f32::from(output * 3 + 2))
            .collect();
        assert_eq!(linear.lines[5].0.to_vec(), expected);
    }
}
