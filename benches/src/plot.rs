//! Line charts on logarithmic axes.

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

/// A chart, its caption saying what to see.
#[derive(Debug)]
pub struct Plot<'a> {
    /// The file's name, without extension.
    pub file: &'a str,
    /// What to see.
    pub caption: &'a str,
    /// The horizontal axis, with its unit.
    pub x: &'a str,
    /// The vertical axis, with its unit.
    pub y: &'a str,
    /// The lines.
    pub lines: &'a [Line],
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
        let span = |of: fn(&(f64, f64)) -> f64| {
            let (low, high) = points()
                .map(of)
                .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
            low / 1.5..high * 1.5
        };
        let area = SVGBackend::new(path, (860, 480)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.caption, ("sans-serif", 17))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(span(|p| p.0).log_scale(), span(|p| p.1).log_scale())
            .map_err(failed)?;
        let number = |value: &f64| if *value >= 10.0 { format!("{value:.0}") } else { format!("{value:.1}") };
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .axis_desc_style(("sans-serif", 15))
            .label_style(("sans-serif", 13))
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .draw()
            .map_err(failed)?;
        for (n, line) in self.lines.iter().enumerate() {
            let color = Palette99::pick(n).to_rgba();
            chart
                .draw_series(
                    LineSeries::new(line.points.iter().copied(), color.stroke_width(2)).point_size(4),
                )
                .map_err(failed)?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK)
            .label_font(("sans-serif", 13))
            .draw()
            .map_err(failed)?;
        area.present().map_err(failed)
    }
}
