//! What images weigh, and whether every one keeps to its bound.

use anyhow::ensure;
use tests::engine::docker;

use super::{IMAGES, Image, repository};

const MEGABYTE: f64 = 1e6;

/// The table, and whether every image keeps to its bound.
pub fn show(base: &str) -> anyhow::Result<()> {
    let base_bytes = size(base)?;
    println!("\n{:<18}{:>10}{:>10}{:>12}{:>10}   MB", "", "in all", "base", "packages", "ours");
    let mut heavy = Vec::new();
    for Image { name, megabytes_max, .. } in &IMAGES {
        let all = size(&repository(name))?;
        let packages = packages(&repository(name))?;
        let base = if packages > 0.0 { base_bytes } else { 0.0 };
        let ours = all - base - packages;
        println!("{name:<18}{all:>10.1}{base:>10.1}{packages:>12.1}{ours:>10.1}");
        if ours > *megabytes_max {
            heavy.push(format!("{name}: {ours:.1} MB, at most {megabytes_max} are allowed"));
        }
    }
    ensure!(heavy.is_empty(), "images are too large: {}", heavy.join("; "));
    Ok(())
}

fn size(image: &str) -> anyhow::Result<f64> {
    Ok(docker(&["image", "inspect", "--format", "{{.Size}}", image])?.parse::<f64>()? / MEGABYTE)
}

/// The layer that apt-get made.
fn packages(image: &str) -> anyhow::Result<f64> {
    let format = "{{.Size}} {{.CreatedBy}}";
    let text = docker(&["history", "--human=false", "--no-trunc", "--format", format, image])?;
    let layers = text.lines().filter(|line| line.contains("apt-get install"));
    let bytes = layers.filter_map(|line| line.split(' ').next()?.parse::<f64>().ok());
    Ok(bytes.fold(0.0, |sum, layer: f64| sum + layer) / MEGABYTE)
}
