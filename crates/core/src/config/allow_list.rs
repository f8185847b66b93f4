//! Which allow-list directives a configuration has, for messages that explain why a connection is not proxied.

#![forbid(unsafe_code)]

/// The allow-list directives that are present; if none is, there is no allow-list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    pub tailnet_only: bool,
    pub proxynet: bool,
    pub proxydomain: bool,
}

impl AllowList {
    pub fn is_empty(self) -> bool {
        self == AllowList::default()
    }

    /// Only the directives that can match a name.
    pub fn of_names(self) -> AllowList {
        AllowList {
            proxynet: false,
            ..self
        }
    }

    pub fn directives(self) -> Vec<&'static str> {
        [
            (self.tailnet_only, "tailnet_only"),
            (self.proxynet, "proxynet"),
            (self.proxydomain, "proxydomain"),
        ]
        .into_iter()
        .filter_map(|(is_present, name)| is_present.then_some(name))
        .collect()
    }

    /// `tailnet_only, proxynet or proxydomain`, with `or` as the conjunction.
    pub fn listed(self, conjunction: &str) -> String {
        match self.directives().as_slice() {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_listed_as_in_a_sentence() {
        let mut list = AllowList::default();
        assert!(list.is_empty());
        assert_eq!(list.listed("and"), "");
        list.proxydomain = true;
        assert_eq!(list.listed("and"), "proxydomain");
        list.tailnet_only = true;
        assert_eq!(list.listed("and"), "tailnet_only and proxydomain");
        list.proxynet = true;
        assert_eq!(list.listed("or"), "tailnet_only, proxynet or proxydomain");
        assert_eq!(
            list.of_names().directives(),
            ["tailnet_only", "proxydomain"]
        );
    }
}
