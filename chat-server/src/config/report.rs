//! Settings as text: what holds here, and the table for the documentation.

use std::fmt::Write as _;

use super::{Effective, SETTINGS, Setting};

/// The configuration that holds, as a file that would set the same, with the place each value comes from.
pub(crate) fn effective(effective: &Effective) -> String {
    let mut text = String::new();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}# {group}"); // writing to a string cannot fail
        }
        let place = effective.places.get(setting.name).map_or("default", String::as_str);
        let value = toml_text(setting, &setting.shown(&effective.config));
        let _ = writeln!(text, "{} = {value}  # {place}", setting.name);
    }
    text
}

/// The settings as Markdown tables, one for each group.
pub(crate) fn documentation() -> String {
    let mut text = String::new();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = write!(
                text,
                "{gap}### {group}\n\n| Setting | Environment | Value | Default | Meaning |\n|---|---|---|---|---|\n"
            );
        }
        let bounds = setting.range.map_or_else(String::new, |(low, high)| format!(", {low}–{high}"));
        let default = match setting.default_shown() {
            empty if empty.is_empty() => "–".to_owned(),
            shown => format!("`{shown}`"),
        };
        let also = if setting.secret { " or `…_FILE`" } else { "" };
        let (name, variable, kind, help) =
            (setting.name, setting.variable(), setting.kind, setting.help.trim());
        let _ = writeln!(text, "| `{name}` | `{variable}`{also} | {kind}{bounds} | {default} | {help} |");
    }
    text
}

/// A shown value as TOML.
fn toml_text(setting: &Setting, shown: &str) -> String {
    let bare = setting.range.is_some() || matches!(shown, "true" | "false");
    if bare { shown.to_owned() } else { format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\"")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{Config, source::Given};
    use super::*;

    #[test]
    fn the_effective_configuration_can_be_used_as_a_file() {
        let shown = effective(&super::super::resolve(Given::default()).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &shown).unwrap();
        // As a shell makes it that writes the output to a file.
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let again = Given { config_flag: Some(file.path().to_owned()), ..Given::default() };
        let again = super::super::resolve(again).unwrap();
        let values = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(values(&effective(&again)), values(&shown));
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        for setting in SETTINGS {
            let shown = setting.default_shown();
            let mut config = Config::default();
            if !setting.secret && setting.kind != "path" {
                setting
                    .assign(&mut config, &shown)
                    .unwrap_or_else(|error| panic!("{}: {error}", setting.name));
                assert_eq!(setting.shown(&config), shown);
            }
        }
    }
}
