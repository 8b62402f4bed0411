//! Columns as wide as what stands in them.

/// The least width of a column of names, as in Kafka's tools.
const NARROW: usize = 15;

/// The width of a column that holds these texts.
pub(crate) fn width<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    let widths = texts.into_iter().map(|text| text.chars().count());
    widths.max().map_or(NARROW, |widest| widest.max(NARROW))
}
