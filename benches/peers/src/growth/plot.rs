//! Curves over what grows, as SVG and as Markdown.

use std::fmt::Write as _;
use std::path::Path;

use plotters::prelude::*;

/// One curve: a value for each place on the x axis, as far as it was measured.
pub struct Curve {
    pub name: String,
    pub values: Vec<f64>,
}

/// Curves over the same places. The places stand side by side, whatever lies between them.
pub struct Plot {
    pub file: &'static str,
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    pub places: Vec<String>,
    pub curves: Vec<Curve>,
    /// The y axis is logarithmic.
    pub log: bool,
}

const WIDTH: u32 = 720;
const HEIGHT: u32 = 400;
const COLORS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 90, 20), RGBColor(44, 140, 60), RGBColor(120, 80, 170)];

impl Plot {
    /// Draws it into `dir`.
    pub fn draw(&self, dir: &Path) {
        let path = dir.join(self.file);
        let area = SVGBackend::new(&path, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE).unwrap();
        let places = i32::try_from(self.places.len()).unwrap();
        let (low, high) = self.range();
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(14)
            .x_label_area_size(50)
            .y_label_area_size(80)
            .build_cartesian_2d(-1..places, low..high)
            .unwrap();
        let name_place = |at: &i32| {
            let place = usize::try_from(*at).ok().and_then(|at| self.places.get(at));
            place.cloned().unwrap_or_default()
        };
        let name_value = |value: &f64| short(self.shown(*value));
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_labels(self.places.len() + 2)
            .y_labels(6)
            .x_label_formatter(&name_place)
            .y_label_formatter(&name_value)
            .x_desc(self.x)
            .y_desc(self.y)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .draw()
            .unwrap();
        for (curve, color) in self.curves.iter().zip(COLORS.iter().cycle()) {
            let points: Vec<(i32, f64)> =
                (0..).zip(curve.values.iter().map(|value| self.placed(*value))).collect();
            chart
                .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))
                .unwrap()
                .label(&curve.name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
            let dots = points.into_iter().map(|point| Circle::new(point, 3, color.filled()));
            chart.draw_series(dots).unwrap();
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()
            .unwrap();
        area.present().unwrap();
    }

    /// Where a value stands on the y axis.
    fn placed(&self, value: f64) -> f64 {
        if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }

    /// The value that stands there.
    fn shown(&self, place: f64) -> f64 {
        if self.log { 10f64.powf(place) } else { place }
    }

    fn range(&self) -> (f64, f64) {
        let values = self.curves.iter().flat_map(|curve| &curve.values).copied();
        let (low, high) =
            values.fold((f64::MAX, 0f64), |(low, high), value| (low.min(value), high.max(value)));
        // Room for the names of the curves, in the upper part.
        let names = self.curves.len() as f64;
        if self.log {
            let (low, high) = (self.placed(low).floor(), self.placed(high));
            (low, high + (high - low) * 0.12 * names)
        } else {
            (0.0, (high * (1.1 + 0.09 * names)).max(f64::MIN_POSITIVE))
        }
    }

    /// The same figures as a table.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {} ({})\n\n| {} |", self.title, self.y, self.x);
        for curve in &self.curves {
            write!(text, " {} |", curve.name).unwrap();
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(self.curves.len()));
        for (at, place) in self.places.iter().enumerate() {
            write!(text, "\n| {place} |").unwrap();
            for curve in &self.curves {
                let value = curve.values.get(at).map_or_else(|| "-".to_owned(), |v| short(*v));
                write!(text, " {value} |").unwrap();
            }
        }
        text.push('\n');
        text
    }
}

/// A value with about three digits.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 0.1 => format!("{value:.3}"),
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A size in MiB as a person says it.
pub fn size(mebibytes: u64) -> String {
    if mebibytes < 1024 { format!("{mebibytes} MiB") } else { format!("{} GiB", mebibytes / 1024) }
}
