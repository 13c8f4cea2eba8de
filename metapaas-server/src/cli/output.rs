//! The one place that writes: results to standard output, everything else to standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::error::CliError;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// The API's answer as JSON.
    Json,
    /// The API's answer as YAML.
    Yaml,
}

/// Where results, notes and errors go.
pub(crate) struct Output {
    format: Format,
    results: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    /// Whether somebody watches the notes as they come.
    watched: bool,
}

impl Output {
    /// Standard output and standard error.
    pub(crate) fn standard(format: Format) -> Self {
        let watched = io::stderr().is_terminal();
        Self { format, results: Box::new(io::stdout()), notes: Box::new(io::stderr()), watched }
    }

    /// Two writers that nobody watches.
    #[cfg(test)]
    pub(crate) fn to(format: Format, results: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Self {
        Self { format, results, notes, watched: false }
    }

    /// Writes a result: `value` itself for programs, the text that `for_people` makes of it otherwise.
    pub(crate) fn show(
        &mut self,
        value: &Value,
        for_people: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.write(&for_people()),
            Format::Json => self.write(&format!("{value:#}\n")),
            Format::Yaml => {
                let text = serde_saphyr::to_string(value).map_err(|source| CliError::Unexpected {
                    what: "cannot write the answer as YAML".into(),
                    source: Some(Box::new(source)),
                })?;
                self.write(&text)
            }
        }
    }

    /// Whether programs read the results.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.format != Format::Table
    }

    /// Writes one of many results that come one after another: a line for people, a line of JSON or a YAML document
    /// for programs.
    pub(crate) fn line(
        &mut self,
        value: &Value,
        for_people: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.write(&format!("{}\n", for_people())),
            Format::Json => self.write(&format!("{value}\n")),
            Format::Yaml => {
                self.write("---\n")?;
                self.show(value, String::new)
            }
        }
    }

    /// Writes a line for people; programs asked for the API's answers only.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), CliError> {
        if self.format == Format::Table { self.write(&format!("{line}\n")) } else { Ok(()) }
    }

    /// Writes text to standard output as it is.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), CliError> {
        self.pass(text.as_bytes())
    }

    /// Writes to standard error as it is. That it cannot be written is no reason to stop.
    pub(crate) fn pass_error(&mut self, bytes: &[u8]) {
        let _ = self.notes.write_all(bytes).and_then(|()| self.notes.flush());
    }

    /// Writes to standard output as it is.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let written = self.results.write_all(bytes).and_then(|()| self.results.flush());
        written.map_err(|source| match source.kind() {
            // The reader has seen enough, as in `metapaas list | head -1`.
            ErrorKind::BrokenPipe => CliError::Silent(0),
            _ => CliError::File { doing: "cannot write to", path: "standard output".into(), source },
        })
    }

    /// Writes a line to standard error. That it cannot be written is no reason to stop.
    pub(crate) fn note(&mut self, line: &str) {
        let _ = writeln!(self.notes, "{line}");
    }

    /// Starts to tell how something goes on.
    pub(crate) fn progress(&mut self) -> Progress<'_> {
        let spinner = self.watched.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { output: self, spinner, last: String::new() }
    }

    /// Tells the error, if there is one, and ends.
    pub(crate) fn finish(&mut self, result: Result<(), CliError>) -> ExitCode {
        let Err(error) = result else { return ExitCode::SUCCESS };
        let _ = self.notes.write_all(error.render().as_bytes());
        let _ = self.notes.flush();
        ExitCode::from(error.exit_code())
    }
}

/// How something goes on: a spinner where somebody watches, else a line per change.
pub(crate) struct Progress<'a> {
    output: &'a mut Output,
    spinner: Option<ProgressBar>,
    last: String,
}

impl Progress<'_> {
    /// It is there now.
    pub(crate) fn at(&mut self, state: String) {
        if state == self.last {
            return;
        }
        match &self.spinner {
            Some(spinner) => spinner.set_message(state.clone()),
            None => self.output.note(&state),
        }
        self.last = state;
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// Rows under headings, without lines and colours.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = plain_table();
    table.set_header(headings.to_vec());
    table.add_rows(rows);
    finished(table)
}

/// Names and their values, one a line.
pub(crate) fn pairs(rows: Vec<(String, String)>) -> String {
    let mut table = plain_table();
    table.add_rows(rows.into_iter().map(|(name, value)| vec![name, value]));
    finished(table)
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table
}

fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_quietly() {
        let mut output = Output::to(Format::Table, Box::new(Closed), Box::new(Closed));
        let result = output.write("x");
        assert!(matches!(result, Err(CliError::Silent(0))));
        assert_eq!(output.finish(result), ExitCode::SUCCESS);
    }

    #[test]
    fn tables_have_no_frame_and_no_trailing_space() {
        let rows = vec![vec!["a".into(), "ACTIVE".into()], vec!["long-name".into(), String::new()]];
        assert_eq!(table(&["NAME", "STATUS"], rows), "NAME       STATUS\na          ACTIVE\nlong-name\n");
        assert_eq!(pairs(vec![("name".into(), "a".into()), ("id".into(), "1".into())]), "name  a\nid    1\n");
    }

    #[test]
    fn yaml_reads_back_as_the_same_value() {
        let value = json!({
            "plain": "text", "tricky": ["yes", "null", "~", "0123", "1e3", "", " lead", "a: b", "# c", "line\nbreak\n", "\u{1b}[0m"],
            "numbers": [1, -1, 1.5, 18_446_744_073_709_551_615_u64], "none": null, "on": true,
            "nested": {"empty": {}, "list": [], "a/b": {"x": [{"y": 1}, [1, 2]]}},
            "long": "word ".repeat(60),
        });
        let text = serde_saphyr::to_string(&value).unwrap();
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, value, "{text}");
    }
}
