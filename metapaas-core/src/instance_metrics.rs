//! Metrics of instances: the output fields that a type declares with `metric`, in the text format of Prometheus.
//!
//! They are read from the database, so that every control plane tells the same. Nobody who asks often costs more than
//! one reading per `FRESH`, and no installation, however large, has more than `INSTANCES_MAX` series per field.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::descriptor::{FieldDescriptor, Metric};
use crate::store::measured::{Measured, measures};
use crate::store::{Store, StoreError};

/// Instances of a type that are told of, those that were made first.
const INSTANCES_MAX: usize = 10_000;
/// For how long an answer is good: nodes report no more often.
const FRESH: Duration = Duration::from_secs(5);

/// Says by `type` whether there are more instances than are told of.
const CUT: &str = "metapaas_instance_metrics_cut";

/// Tells the metrics of all instances.
#[derive(Debug)]
pub struct InstanceMetrics {
    store: Arc<Store>,
    told: Mutex<Option<(Instant, Arc<str>)>>,
}

/// All series of one name.
struct Family {
    help: &'static str,
    kind: Metric,
    lines: String,
}

impl InstanceMetrics {
    /// Of the instances in `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, told: Mutex::default() }
    }

    /// All series, at most a few seconds old; nothing where no type declares any.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn text(&self) -> Result<Arc<str>, StoreError> {
        // Those who come meanwhile wait here for the one reading.
        let mut told = self.told.lock().await;
        if let Some((at, text)) = &*told
            && at.elapsed() < FRESH
        {
            return Ok(text.clone());
        }
        let text: Arc<str> = self.read().await?.into();
        *told = Some((Instant::now(), text.clone()));
        Ok(text)
    }

    async fn read(&self) -> Result<String, StoreError> {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut cut = String::new();
        for registered in self.store.registry().roots().filter(|root| measures(root).next().is_some()) {
            let slug = registered.ty.slug;
            let limit = i64::try_from(INSTANCES_MAX).unwrap_or(i64::MAX);
            let rows = self.store.measured(registered, limit.saturating_add(1)).await?;
            let is_cut = u8::from(rows.len() > INSTANCES_MAX);
            let _ = writeln!(cut, "{CUT}{{type=\"{slug}\"}} {is_cut}");
            for (index, field) in measures(registered).enumerate() {
                let name = name(field);
                let family = families.entry(name.clone()).or_insert_with(|| Family {
                    help: field.doc.lines().next().unwrap_or_default(),
                    kind: field.metric.unwrap_or(Metric::Gauge),
                    lines: String::new(),
                });
                for row in rows.iter().take(INSTANCES_MAX) {
                    sample(&mut family.lines, &name, slug, row, index);
                }
            }
        }
        if !cut.is_empty() {
            let help = "Whether a type has more instances than are told of here.";
            families.insert(CUT.to_owned(), Family { help, kind: Metric::Gauge, lines: cut });
        }
        let mut text = String::new();
        for (name, Family { help, kind, lines }) in families {
            let kind = match kind {
                Metric::Gauge => "gauge",
                Metric::Counter => "counter",
            };
            let help = help.replace('\\', "\\\\");
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
        Ok(text)
    }
}

/// Fields of one name and kind are one metric, whatever their type.
fn name(field: &FieldDescriptor) -> String {
    let total = match field.metric {
        Some(Metric::Counter) if !field.name.ends_with("_total") => "_total",
        _ => "",
    };
    format!("metapaas_instance_{}{total}", field.name)
}

fn sample(lines: &mut String, metric: &str, slug: &str, row: &Measured, index: usize) {
    let Some(Some(value)) = row.values.get(index) else { return };
    let Measured { id, project_id, .. } = row;
    // No names: who reads metrics shows no credentials.
    let labels = format!("type=\"{slug}\",instance_id=\"{id}\",project_id=\"{project_id}\"");
    let _ = writeln!(lines, "{metric}{{{labels}}} {value}");
}
