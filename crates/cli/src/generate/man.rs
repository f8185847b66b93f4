//! proxychains.conf(5), in the macros of mdoc(7).

use super::text::{plain, wrapped};
use tailchain_core::config::DIRECTIVES;

const HEAD: &str = "\
.Dd November 25, 2026
.Dt PROXYCHAINS.CONF 5
.Os
.Sh NAME
.Nm proxychains.conf
.Nd configuration of proxychains4 and tailchain
.Sh DESCRIPTION
One directive per line; a line that begins with
.Ql #
is a comment.
Directives come before
.Ql [ProxyList] ,
proxies after it.
.Bl -tag -width Ds
";

const TAIL: &str = "\
.El
.Pp
A proxy is
.Ar TYPE HOST PORT Op Ar USER PASSWORD
or
.Ar TYPE Ns :// Ns Oo Ar USER : Ns Ar PASSWORD Ns @ Oc Ns Ar HOST : Ns Ar PORT ,
with the type
.Ic socks5 , socks5h , socks4 , socks4a , http
or
.Ic raw .
.Sh FILES
Unless
.Xr proxychains4 1
is given a configuration with
.Fl f
or
.Fl x ,
or
.Ev PROXYCHAINS_CONF_FILE
names a file, the first of these files is used:
.Bl -tag -width Ds -compact
.It Pa ./proxychains.conf
.It Pa ~/.proxychains/proxychains.conf
.It Pa ~/config/settings/proxychains.conf
.It Pa SYSCONFDIR/proxychains.conf
.It Pa /etc/proxychains.conf
.It Pa /etc/proxychains4.conf
.El
.Pp
.Pa SYSCONFDIR
is set when tailchain is built, e.g. to
.Pa /usr/local/etc .
A file in the current directory or below the home directory must belong to the user or to root, and nobody else may be
able to write it.
If there is no file, the proxy is taken from
.Ev ALL_PROXY .
.Sh EXAMPLES
.Bd -literal
strict_chain
proxy_dns
tailnet_only
tcp_read_time_out 15000
[ProxyList]
socks5 127.0.0.1 1055
.Ed
.Sh SEE ALSO
.Xr proxychains4 1 ,
.Xr tailchain 1
.Pp
.Ql tailchain check FILE
prints what a file means,
.Ql tailchain explain HOST PORT
where a connection would go.
";

pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for directive in DIRECTIVES {
        page.push_str(&format!(".It Ic {}", directive.name));
        if !directive.value.is_empty() {
            page.push_str(&format!(" Ar {}", directive.value.replace('|', " | ")));
        }
        page.push('\n');
        let mut text = format!("{} {}", directive.summary, directive.detail);
        if !directive.value.is_empty() && directive.default != "none" {
            text.push_str(&format!(" The default is {}.", directive.default));
        }
        // A line break after each sentence: mdoc sets the space between them.
        for sentence in plain(&text).trim().split_inclusive(". ") {
            for line in wrapped(sentence, 110) {
                page.push_str(&escaped(&line));
                page.push('\n');
            }
        }
    }
    page + TAIL
}

/// Escapes what mdoc would take for a macro at the start of a line.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e");
    match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line,
    }
}
