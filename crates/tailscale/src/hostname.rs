//! The default name of the node on a dyno: `[commit]-[dyno]-[appname]`.

#![forbid(unsafe_code)]

/// The longest DNS label (RFC 1035 section 2.3.4).
const LONGEST: usize = 63;
/// The number of digits that identify a commit.
const COMMIT: usize = 8;

/// The name made from Heroku's dyno metadata. `None` without metadata: the machine's own name is used.
pub fn of_dyno(env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let commit = env("HEROKU_SLUG_COMMIT").or_else(|| env("HEROKU_BUILD_COMMIT"))?;
    let app = env("HEROKU_APP_NAME")?;
    let dyno = env("DYNO")?;
    let commit: String = commit.chars().take(COMMIT).collect();
    Some(label(&format!("{commit}-{dyno}-{app}"))).filter(|label| !label.is_empty())
}

/// Replaces characters that are invalid in a host name by a dash, e.g. the dot of `web.1`.
fn label(text: &str) -> String {
    let valid = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let text: String = text
        .trim_matches('-')
        .chars()
        .take(LONGEST)
        .map(valid)
        .collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dyno: &str, app: &str) -> Option<String> {
        of_dyno(&|name| match name {
            "HEROKU_SLUG_COMMIT" => Some("2c3a0b24069af49b3de35b8e8c26765c1dba9ff0".to_owned()),
            "DYNO" => Some(dyno.to_owned()),
            "HEROKU_APP_NAME" => Some(app.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn commit_dyno_and_app_make_a_dns_label() {
        assert_eq!(of("web.1", "My_App").unwrap(), "2c3a0b24-web-1-my-app");
        let long = of("run.1234", &"a".repeat(80)).unwrap();
        assert_eq!(long.len(), 63);
        let cut_at_a_dash = of("web.1", &format!("{}-b", "a".repeat(47))).unwrap();
        assert!(cut_at_a_dash.ends_with('a'), "{cut_at_a_dash}");
    }

    #[test]
    fn without_the_metadata_there_is_no_name() {
        assert_eq!(of_dyno(&|_| None), None);
        assert_eq!(
            of_dyno(&|name| (name == "DYNO").then(|| "web.1".to_owned())),
            None
        );
    }
}
