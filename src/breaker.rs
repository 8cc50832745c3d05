//! When a model is left alone, and who may probe it.
