//! Figures and how they are shown: histograms, medians, the aligned table and its JSON twin.
//! Never measures.

use std::fmt::{self, Write as _};

/// Buckets per power of two: values are kept to within 1.6 per cent.
const SUB_BUCKETS: u64 = 64;
/// Values below this have a bucket each.
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();

/// Counts of values by logarithmic buckets, with the exact greatest value.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        let buckets = (64 - SUB_BITS as usize + 1) * SUB_BUCKETS as usize;
        Histogram { counts: vec![0; buckets], total: 0, max: 0 }
    }

    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// Values recorded.
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that the fraction `part` (0 to 1) of all values does not exceed; 0 when empty.
    pub fn quantile(&self, part: f64) -> u64 {
        let wanted = (part * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_end(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB_BUCKETS {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    (u64::from(shift) * SUB_BUCKETS + (value >> shift)) as usize
}

/// The greatest value that falls into a bucket.
fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB_BUCKETS {
        return index;
    }
    let shift = index / SUB_BUCKETS - 1;
    let leading = u128::from(index % SUB_BUCKETS + SUB_BUCKETS + 1);
    u64::try_from((leading << shift) - 1).unwrap_or(u64::MAX)
}

/// The middle value, or the mean of the middle two; `None` when there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let high = *sorted.get(sorted.len() / 2)?;
    let low = sorted[(sorted.len() - 1) / 2];
    Some((low + high) / 2.0)
}

/// One figure of both servers.
#[derive(Default)]
pub struct Cell {
    rhubarb: Option<f64>,
    redis: Option<f64>,
    /// Median, least and greatest of the rounds' ratios.
    ratio: Option<[f64; 3]>,
}

impl Cell {
    /// From one figure per round of each server; the lists may be of unequal length.
    pub fn from_rounds(rhubarb: &[f64], redis: &[f64]) -> Cell {
        let pairs = rhubarb.iter().zip(redis).filter(|(_, redis)| **redis > 0.0);
        let ratios: Vec<f64> = pairs.map(|(rhubarb, redis)| rhubarb / redis).collect();
        let ratio = median(&ratios).map(|middle| {
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            [middle, least, ratios.iter().copied().fold(0.0, f64::max)]
        });
        Cell { rhubarb: median(rhubarb), redis: median(redis), ratio }
    }

    /// The median ratio, where there is one.
    pub fn ratio(&self) -> Option<f64> {
        self.ratio.map(|[middle, ..]| middle)
    }
}

/// How a figure's column looks.
pub struct Column {
    pub title: &'static str,
    pub decimals: usize,
    /// Whether the ratio is shown: it makes sense where less is better.
    pub ratio: bool,
}

/// One line of a table.
pub struct Row {
    pub name: String,
    /// As many as the table has columns.
    pub cells: Vec<Cell>,
    /// What went wrong, else empty.
    pub note: String,
}

/// The result of one mode.
pub struct Table {
    pub title: &'static str,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// Shown below the rows.
    pub footer: Vec<String>,
}

impl Table {
    /// All cells as text, three or two per column, below two lines of headings.
    fn lines(&self) -> Vec<Vec<String>> {
        let mut groups = vec![self.title.to_owned()];
        let mut heads = vec![String::new()];
        for column in &self.columns {
            groups.extend([column.title.to_owned(), String::new()]);
            heads.extend(["rhubarb".to_owned(), "redis".to_owned()]);
            if column.ratio {
                groups.push(String::new());
                heads.push("ratio [least-most]".to_owned());
            }
        }
        let mut lines = vec![groups, heads];
        for row in &self.rows {
            let mut line = vec![row.name.clone()];
            for (column, cell) in self.columns.iter().zip(&row.cells) {
                line.extend([number(cell.rhubarb, column), number(cell.redis, column)]);
                if column.ratio {
                    line.push(ratio(cell.ratio));
                }
            }
            lines.push(line);
        }
        lines
    }
}

fn number(value: Option<f64>, column: &Column) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.*}", column.decimals))
}

fn ratio(ratio: Option<[f64; 3]>) -> String {
    match ratio {
        Some([middle, least, most]) if least < most => {
            format!("{middle:.2} [{least:.2}-{most:.2}]")
        }
        Some([middle, ..]) => format!("{middle:.2}"),
        None => "-".to_owned(),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let columns = lines.first().map_or(0, Vec::len);
        // The first line holds group titles, which may run over the empty cells that follow.
        let mut widths = vec![0; columns];
        for line in &lines[1..] {
            for (width, text) in widths.iter_mut().zip(line) {
                *width = text.len().max(*width);
            }
        }
        widths[0] = widths[0].max(self.title.len());
        let mut group_line = format!("{:<1$}", self.title, widths[0]);
        let mut start = widths[0];
        for (title, width) in lines[0].iter().zip(&widths).skip(1) {
            if !title.is_empty() {
                write!(group_line, "{:<1$}    {title}", "", start - group_line.len().min(start))?;
            }
            start += 2 + width;
        }
        writeln!(f, "{group_line}")?;
        for (index, line) in lines[1..].iter().enumerate() {
            let mut text = format!("{:<1$}", line[0], widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                write!(text, "  {cell:>width$}")?;
            }
            if let Some(row) = index.checked_sub(1).and_then(|row| self.rows.get(row)) {
                write!(text, "  {}", row.note)?;
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        self.footer.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// All tables as one JSON object: servers, then for each mode its rows with named figures.
pub fn json(rhubarb: &str, redis: &str, tables: &[Table]) -> String {
    let tables: Vec<String> = tables.iter().map(table_json).collect();
    format!(
        "{{\"rhubarb\":{},\"redis\":{},\"modes\":{{{}}}}}\n",
        quoted(rhubarb),
        quoted(redis),
        tables.join(",")
    )
}

fn table_json(table: &Table) -> String {
    let rows: Vec<String> = table.rows.iter().map(|row| row_json(table, row)).collect();
    format!("\n{}:[\n{}]", quoted(table.title), rows.join(",\n"))
}

fn row_json(table: &Table, row: &Row) -> String {
    let mut text = format!("{{\"name\":{}", quoted(&row.name));
    if !row.note.is_empty() {
        text += &format!(",\"note\":{}", quoted(&row.note));
    }
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        let ratio = cell.ratio.map(|ratio| ratio.map(Some)).unwrap_or_default();
        let figures = [cell.rhubarb, cell.redis].into_iter().chain(ratio).map(plain);
        let names = ["rhubarb", "redis", "ratio", "least", "most"].into_iter().zip(figures);
        let fields: Vec<String> =
            names.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        text += &format!(",{}:{{{}}}", quoted(column.title), fields.join(","));
    }
    text + "}"
}

fn plain(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => value.to_string(),
        _ => "null".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character.is_control() => out.push(' '),
            _ => out.push(character),
        }
    }
    out + "\""
}
