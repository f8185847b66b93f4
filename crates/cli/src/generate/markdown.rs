//! The generated tables of the documents. Each is between two HTML comments.

use tailchain_core::config::DIRECTIVES;
use tailchain_launcher::options::OPTIONS;

pub fn directives() -> String {
    let mut table = "| directive | default | |\n|---|---|---|\n".to_owned();
    for directive in DIRECTIVES {
        let name = format!("{} {}", directive.name, directive.value);
        table.push_str(&format!(
            "| `{}` | {} | {} |\n",
            // In a table, a bar ends the cell even within a code span.
            name.trim_end().replace('|', "\\|"),
            directive.default,
            directive.summary
        ));
    }
    table
}

pub fn options() -> String {
    let mut table = "| option of `proxychains4` | |\n|---|---|\n".to_owned();
    for option in OPTIONS {
        let name = format!("{} {}", option.name, option.value.unwrap_or_default());
        let help = option.help.replace('\n', " ");
        table.push_str(&format!("| `{}` | {help} |\n", name.trim_end()));
    }
    table
}

/// `document` with the table `name` replaced by `table`; `None` if its two comments are missing.
pub fn with_table(document: &str, name: &str, table: &str) -> Option<String> {
    let begin = format!("<!-- {name}: made by `make generated` -->\n");
    let (before, rest) = document.split_once(&begin)?;
    let end = rest.find("<!-- end -->")?;
    let after = rest.get(end..)?;
    Some(format!("{before}{begin}\n{table}\n{after}"))
}
