//! Values of charts: `values.yaml`, `values.schema.json` and the table in the README state the same.
//!
//! A value is what a comment in `values.yaml` explains. The same words are its description in the schema and the last
//! cell of its row, so that nobody reads of a value what no longer holds.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Project, charts};

/// Keys that schemas know for charts that depend on this one, and that nobody sets otherwise.
const OF_DEPENDENTS: [&str; 3] = ["enabled", "global", "portolan-lib"];

/// The three places, as they are read.
struct Stated {
    values: Value,
    comments: BTreeMap<String, String>,
    schema: BTreeMap<String, String>,
    table: BTreeMap<String, (String, String)>,
}

/// Names what one of the places says and another does not.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for chart in charts::with(&project.root, "values.yaml")? {
        let stated = read(&project.root.join("charts").join(&chart)).with_context(|| chart.clone())?;
        found.extend(faults(&stated).into_iter().map(|fault| format!("charts/{chart}: {fault}")));
    }
    Ok(found)
}

fn read(folder: &Path) -> Result<Stated> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
    let values = text("values.yaml")?;
    let mut schema = BTreeMap::new();
    described("", &serde_json::from_str(&text("values.schema.json")?)?, &mut schema);
    Ok(Stated {
        comments: comments(&values),
        values: serde_saphyr::from_str(&values).context("values.yaml")?,
        schema,
        table: table(&text("README.md")?),
    })
}

fn faults(stated: &Stated) -> Vec<String> {
    let mut found = Vec::new();
    for (path, (default, text)) in &stated.table {
        let value = path.split('.').try_fold(&stated.values, |value, key| value.get(key));
        let read: Option<Value> = serde_saphyr::from_str(default).ok();
        match value {
            None => found.push(format!("README.md has {path}, values.yaml has not")),
            Some(value) if read.as_ref() != Some(value) => {
                found.push(format!("README.md: {path} is {default}, but {value} in values.yaml"));
            }
            Some(_) => {}
        }
        for (place, texts) in [("values.schema.json", &stated.schema), ("values.yaml", &stated.comments)] {
            match texts.get(path) {
                None => found.push(format!("{place} says nothing about {path}")),
                Some(said) if said != text => {
                    found.push(format!("{path}: {place} says {said:?}, README.md {text:?}"));
                }
                Some(_) => {}
            }
        }
    }
    let is_extra = |path: &str| OF_DEPENDENTS.contains(&path) || stated.table.contains_key(path);
    let more = stated.schema.keys().filter(|path| !is_extra(path));
    found.extend(more.map(|path| format!("values.schema.json has {path}, the table in README.md has not")));
    let mut bare = Vec::new();
    untold("", &stated.values, &stated.table, &mut bare);
    found.extend(
        bare.into_iter().map(|path| format!("values.yaml has {path}, the table in README.md has not")),
    );
    found
}

/// Values that are in no row, neither themselves nor what they are a part of.
fn untold(path: &str, value: &Value, table: &BTreeMap<String, (String, String)>, found: &mut Vec<String>) {
    if table.contains_key(path) {
        return;
    }
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (key, value) in fields {
                untold(&joined(path, key), value, table, found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

/// Descriptions of a schema by the path of what they describe.
fn described(path: &str, schema: &Value, found: &mut BTreeMap<String, String>) {
    match (schema["description"].as_str(), schema["properties"].as_object()) {
        (Some(text), _) => drop(found.insert(path.to_owned(), text.to_owned())),
        (None, Some(fields)) => {
            fields.iter().for_each(|(key, field)| described(&joined(path, key), field, found));
        }
        (None, None) => drop(found.insert(path.to_owned(), String::new())),
    }
}

/// Rows of the table with the head `Value`: the default and the text by the value's path.
fn table(readme: &str) -> BTreeMap<String, (String, String)> {
    let rows = readme.lines().skip_while(|line| !line.starts_with("| Value |")).skip(2);
    let cells = rows.map_while(|row| row.strip_prefix("| ")?.strip_suffix(" |"));
    let split = cells.filter_map(|row| {
        let (path, rest) = row.split_once(" | ")?;
        let (default, text) = rest.split_once(" | ")?;
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        Some((plain(path), (plain(default), text.replace("\\|", "|"))))
    });
    split.collect()
}

/// The comment right above each key of `values.yaml`. An empty line ends a comment: examples stand above one.
fn comments(values: &str) -> BTreeMap<String, String> {
    let (mut found, mut parents, mut comment) = (BTreeMap::new(), Vec::<(usize, String)>::new(), Vec::new());
    for line in values.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        if let Some(words) = text.strip_prefix('#') {
            comment.push(words.strip_prefix(' ').unwrap_or(words));
            continue;
        }
        if let Some((key, _)) = text.split_once(':') {
            parents.retain(|(outer, _)| *outer < depth);
            let path = parents.last().map_or_else(|| key.to_owned(), |(_, path)| joined(path, key));
            if !comment.is_empty() {
                found.insert(path.clone(), comment.join(" "));
            }
            parents.push((depth, path));
        }
        comment.clear();
    }
    found
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str =
        "image:\n  # The tag.\n  tag: \"\"\n# Example:\n#   a: b\n\n# How many\n# pods.\nreplicas: 2\n";
    const SCHEMA: &str = r#"{"properties": {
        "image": {"properties": {"tag": {"description": "The tag."}}},
        "replicas": {"description": "How many pods."},
        "global": {"description": "Of all charts.", "properties": {"x": {}}}}}"#;
    const README: &str = "| Value | Default | What it does |\n|---|---|---|\n| `image.tag` | `\"\"` | The tag. |\n| `replicas` | `2` | How many pods. |\n";

    fn found(values: &str, schema: &str, readme: &str) -> Vec<String> {
        let mut descriptions = BTreeMap::new();
        described("", &serde_json::from_str(schema).unwrap(), &mut descriptions);
        faults(&Stated {
            values: serde_saphyr::from_str(values).unwrap(),
            comments: comments(values),
            schema: descriptions,
            table: table(readme),
        })
    }

    #[test]
    fn each_place_is_held_against_the_others() {
        assert_eq!(found(VALUES, SCHEMA, README), [""; 0]);
        let cases = [
            (format!("{VALUES}extra: {{a: 1}}\n"), SCHEMA.to_owned(), README.to_owned(), "has extra.a,"),
            (VALUES.replace(": 2", ": 3"), SCHEMA.to_owned(), README.to_owned(), "replicas is 2, but 3"),
            (VALUES.replace("tag: \"\"", "tag: null"), SCHEMA.to_owned(), README.to_owned(), "but null in"),
            (VALUES.replace("The tag", "A tag"), SCHEMA.to_owned(), README.to_owned(), "says \"A tag.\""),
            (VALUES.replace("b\n\n", "b\n"), SCHEMA.to_owned(), README.to_owned(), "says \"Example:"),
            (
                VALUES.to_owned(),
                SCHEMA.replace("The tag", "A tag"),
                README.to_owned(),
                "schema.json says \"A tag.\"",
            ),
            (VALUES.to_owned(), SCHEMA.replace("\"tag\"", "\"tags\""), README.to_owned(), "has image.tags,"),
            (
                VALUES.to_owned(),
                SCHEMA.replace("\"description\": \"How", "\"title\": \"How"),
                README.to_owned(),
                "says \"\"",
            ),
            (
                VALUES.to_owned(),
                SCHEMA.to_owned(),
                format!("{README}| `more` | `1` | More. |\n"),
                "README.md has more,",
            ),
            (
                VALUES.to_owned(),
                SCHEMA.to_owned(),
                README.replace("| `replicas`", "| replica"),
                "values.yaml has replicas",
            ),
        ];
        for (values, schema, readme, expected) in cases {
            let found = found(&values, &schema, &readme);
            assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
        }
    }
}
