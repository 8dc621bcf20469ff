//! Line charts: a logarithmic axis to the right, a linear one from zero upwards.

use anyhow::{Context, Result, anyhow};
use plotters::coord::combinators::{BindKeyPoints, LogCoord};
use plotters::prelude::{
    BLACK, ChartBuilder, Color, DrawingAreaErrorKind, EmptyElement, IntoDrawingArea, IntoFont,
    IntoLogRange, LineSeries, PathElement, RGBColor, SVGBackend, TRANSPARENT, Text, WHITE,
};
use std::path::Path;

pub use plotters::chart::SeriesLabelPosition;

/// Colours that can be told apart without seeing red or green.
const COLORS: [RGBColor; 3] = [RGBColor(0, 90, 181), RGBColor(220, 110, 0), RGBColor(90, 90, 90)];

/// A chart with its caption.
#[derive(Debug)]
pub struct Plot<'a> {
    /// The file's name, without extension.
    pub file: &'a str,
    /// The sentence over the chart.
    pub caption: &'a str,
    /// The horizontal axis, with its unit.
    pub x: &'a str,
    /// The vertical axis, with its unit.
    pub y: &'a str,
    /// The lines.
    pub lines: &'a [Line],
    /// The corner where no line is.
    pub legend: SeriesLabelPosition,
}

/// A named line.
#[derive(Debug)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Its points, left to right, all of them positive.
    pub points: Vec<(f64, f64)>,
}

impl Plot<'_> {
    pub(crate) fn draw(&self, folder: &Path) -> Result<()> {
        let path = folder.join(format!("{}.svg", self.file));
        self.draw_svg(&path).with_context(|| format!("could not draw {}", path.display()))
    }

    fn draw_svg(&self, path: &Path) -> Result<()> {
        let failed = |e: DrawingAreaErrorKind<_>| anyhow!("{e}");
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let mut places: Vec<f64> = points().map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let (first, last) =
            places.first().zip(places.last()).context("there is nothing to draw")?;
        let horizontal: LogCoord<f64> = (first / 1.3..last * 1.3).log_scale().into();
        // From zero: a logarithm would make much of little, and show few round numbers where the
        // lines are flat.
        let vertical = 0.0..points().map(|point| point.1).fold(0.0, f64::max) * 1.2;
        let area = SVGBackend::new(path, (860, 480)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut below = area.margin(10, 0, 0, 0);
        for line in wrapped(self.caption) {
            below = below.titled(&line, ("sans-serif", 17)).map_err(failed)?;
        }
        let mut chart = ChartBuilder::on(&below)
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(horizontal.with_key_points(places), vertical)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc(self.x)
            .y_desc(self.y)
            .axis_desc_style(("sans-serif", 15))
            .label_style(("sans-serif", 13))
            .y_labels(6)
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| number(*value))
            .draw()
            .map_err(failed)?;
        for (n, line) in self.lines.iter().enumerate() {
            let color = COLORS[n % COLORS.len()];
            let values = line.points.iter().map(|&(x, y)| {
                // Where there is more room: above the highest line, below the lowest.
                let gap = |away: fn(f64, f64) -> f64| {
                    let others = points().filter(|other| other.0.total_cmp(&x).is_eq());
                    let gaps = others.map(|other| away(other.1, y)).filter(|gap| *gap > 0.0);
                    gaps.fold(f64::INFINITY, f64::min)
                };
                let below = gap(|other, y| other - y) < gap(|other, y| y - other);
                let offset = (-8, if below { 10 } else { -20 });
                let text =
                    Text::new(number(y), offset, ("sans-serif", 13).into_font().color(&color));
                EmptyElement::at((x, y)) + text
            });
            chart.draw_series(values).map_err(failed)?;
            chart
                .draw_series(
                    LineSeries::new(line.points.iter().copied(), color.stroke_width(2))
                        .point_size(4),
                )
                .map_err(failed)?
                .label(&line.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(self.legend.clone())
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()
            .map_err(failed)?;
        area.present().map_err(failed)
    }
}

/// A caption in lines that fit.
fn wrapped(caption: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in caption.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 105 => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A number as a reader wants it: few digits, thousands apart.
fn number(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{number, wrapped};

    #[test]
    fn a_long_caption_has_several_lines() {
        assert_eq!(wrapped("short one"), ["short one"]);
        let long = "word ".repeat(40);
        let lines = wrapped(&long);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 105));
        assert_eq!(lines.join(" "), long.trim());
    }

    #[test]
    fn numbers_have_few_digits_and_their_thousands_apart() {
        let texts: Vec<String> =
            [0.0, 1.0, 2.54, 25.4, 256.0, 1_000.0, 123_456.7].map(number).into();
        assert_eq!(texts, ["0", "1", "2.5", "25", "256", "1,000", "123,457"]);
    }
}
