//! The table of words: by far the most of a small model's memory, of which a text reads a few rows.

use super::dense::Precision;

/// See the module.
#[derive(Debug)]
pub(super) struct Words {
    table: Table,
    width: usize,
}

#[derive(Debug)]
enum Table {
    Floats(Vec<f32>),
    /// Bytes, and what one unit is worth in each row.
    Bytes(Vec<i8>, Vec<f32>),
}

impl Words {
    pub(super) fn pack(precision: Precision, table: Vec<f32>, width: usize) -> Words {
        let table = match precision {
            Precision::F32 => Table::Floats(table),
            Precision::Int8(_) => {
                let rows = table.chunks_exact(width);
                let scales: Vec<f32> = rows.clone().map(scale_of).collect();
                let bytes = rows
                    .zip(&scales)
                    .flat_map(|(row, scale)| row.iter().map(move |value| to_byte(value / scale)));
                Table::Bytes(bytes.collect(), scales)
            }
        };
        Words { table, width }
    }

    /// Row `id` of the table. `None` where there is no such word.
    pub(super) fn read(&self, id: usize, to: &mut [f32]) -> Option<()> {
        let start = id.checked_mul(self.width)?;
        let row = start..start.checked_add(self.width)?;
        match &self.table {
            Table::Floats(table) => to.copy_from_slice(table.get(row)?),
            Table::Bytes(table, scales) => {
                let scale = scales.get(id)?;
                for (to, byte) in to.iter_mut().zip(table.get(row)?) {
                    *to = f32::from(*byte) * scale;
                }
            }
        }
        Some(())
    }
}

fn scale_of(row: &[f32]) -> f32 {
    let largest = row
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "-127 to 127 by the choice of the scale"
)]
fn to_byte(value: f32) -> i8 {
    value.round().clamp(-127.0, 127.0) as i8
}
